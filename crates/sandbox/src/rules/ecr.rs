//! ECR: repositories, their lifecycle policies and their images.

mod lifecycle;
mod repository;
mod tags;

use serde_json::{Map, Value, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::ecr::Repository;
use crate::refusal::Refusal;
use crate::service::Service;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreateRepository" => repository::create(desk, body).await,
        "DescribeRepositories" => repository::describe(desk, body),
        "DeleteRepository" => repository::delete(desk, body).await,
        "ListImages" => repository::list_images(desk, body),
        "PutLifecyclePolicy" => lifecycle::put(desk, body).await,
        "GetLifecyclePolicy" => lifecycle::get(desk, body),
        "DeleteLifecyclePolicy" => lifecycle::delete(desk, body).await,
        "ListTagsForResource" => tags::list(desk, body),
        "TagResource" => tags::tag(desk, body).await,
        action => {
            if let Some(name) = body.text("repositoryName")? {
                let (name, repository) = (name.to_owned(), find(desk, name)?);
                if action == "PutImage" {
                    repository::check_tag(desk, &name, repository, body)?;
                }
            }
            // A call that has no more rules here yet.
            return desk.pass_on(input).await;
        }
    };
    reply.map(|reply| Answer::json(&reply))
}

/// A repository that is there.
fn find<'a>(desk: &'a Desk<'_>, name: &str) -> Result<&'a Repository, Refusal> {
    let message = || {
        let account = &desk.place.account;
        format!("The repository with name '{name}' does not exist in the registry with id '{account}'")
    };
    let found = desk.picture().ecr.repositories.get(name);
    found.ok_or_else(|| Refusal::new("RepositoryNotFoundException", message()))
}

fn invalid(parameter: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        "InvalidParameterException",
        format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{why}'"),
    )
}

async fn act(desk: &Desk<'_>, action: &str, body: Value) -> Result<Value, Refusal> {
    desk.emulator.act_json(Service::Ecr, action, &body).await
}

/// One page of a list, under that name: as many as the call asks for, after those that it has.
fn page(body: &Body, name: &str, mut all: Vec<Value>) -> Result<Value, Refusal> {
    let size = usize::try_from(body.number("maxResults")?.unwrap_or(100)).ok().filter(|size| (1..=1000).contains(size));
    let size = size.ok_or_else(|| invalid("maxResults", "Member must have a value between 1 and 1000"))?;
    let start = match body.text("nextToken")? {
        None => 0,
        Some(token) => token.parse().map_err(|_| invalid("nextToken", "Invalid token"))?,
    };
    let more = all.len() > start + size;
    let page: Vec<Value> = all.drain(..).skip(start).take(size).collect();
    let mut reply = Map::from_iter([(name.to_owned(), Value::Array(page))]);
    if more {
        reply.insert("nextToken".to_owned(), json!((start + size).to_string()));
    }
    Ok(Value::Object(reply))
}
