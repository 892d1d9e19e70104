//! Tags of repositories.

use serde_json::{Value, json};

use super::{Desk, act, invalid};
use crate::input::Body;
use crate::query::Tags;
use crate::refusal::Refusal;

const MOST: usize = 50;

/// As in a reply.
pub(super) fn written(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// Those that a call gives.
pub(super) fn given(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("tags", "Key", "Value")?;
    check(&tags, tags.len())?;
    Ok(tags)
}

fn check(tags: &Tags, together: usize) -> Result<(), Refusal> {
    if together > MOST {
        return Err(Refusal::new("TooManyTagsException", format!("A repository can have at most {MOST} tags")));
    }
    let wrong = |(key, value): &(&String, &String)| {
        key.is_empty() || key.len() > 128 || value.len() > 256 || key.to_ascii_lowercase().starts_with("aws:")
    };
    match tags.iter().find(wrong) {
        Some((key, _)) => Err(Refusal::new("InvalidTagParameterException", format!("The tag '{key}' is not valid"))),
        None => Ok(()),
    }
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    Ok(json!({"tags": written(of(desk, body.required("resourceArn")?)?)}))
}

pub(super) async fn tag(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let mut together = of(desk, body.required("resourceArn")?)?.clone();
    let given = body.tags("tags", "Key", "Value")?;
    together.extend(given.clone());
    check(&given, together.len())?;
    act(desk, "TagResource", Value::Object(body.0.clone())).await?;
    desk.look();
    Ok(json!({}))
}

fn of<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Tags, Refusal> {
    let Some((_, name)) = arn.split_once(":repository/").filter(|_| arn.starts_with("arn:aws:ecr:")) else {
        return Err(invalid("resourceArn", "Invalid ARN"));
    };
    let repository = super::find(desk, name)?;
    if repository.arn == arn { Ok(&repository.tags) } else { Err(invalid("resourceArn", "Invalid ARN")) }
}
