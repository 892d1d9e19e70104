//! Tags of what ECS has. The emulator forgets those that came with a resource when they are asked for by its ARN, so
//! they are read from the picture.

use serde_json::{Value, json};

use super::{Desk, invalid};
use crate::input::Body;
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

const MOST: usize = 50;

/// As in a reply.
pub(super) fn written(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// Those that a call gives.
pub(super) fn given(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("tags", "key", "value")?;
    check(&tags, tags.len())?;
    Ok(tags)
}

fn check(tags: &Tags, together: usize) -> Result<(), Refusal> {
    if together > MOST {
        return Err(invalid(format!("The resource can have at most {MOST} tags.")));
    }
    match tags.iter().find(|(key, value)| key.is_empty() || key.len() > 128 || value.len() > 256) {
        Some((key, _)) => Err(invalid(format!("The tag '{key}' is too long, or has no key."))),
        None if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) => {
            Err(invalid("Tag keys that begin with 'aws:' are reserved."))
        }
        None => Ok(()),
    }
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = body.required("resourceArn")?;
    Ok(json!({"tags": written(of(desk, arn)?)}))
}

pub(super) async fn tag(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = body.required("resourceArn")?;
    let mut together = of(desk, arn)?.clone();
    let given = body.tags("tags", "key", "value")?;
    together.extend(given.clone());
    check(&given, together.len())?;
    if arn.contains(":cluster/") {
        desk.emulator.act_json(Service::Ecs, "TagResource", &Value::Object(body.0.clone())).await?;
    } else {
        desk.emulator.put_ecs_tags(arn, &together).await;
    }
    desk.look();
    Ok(json!({}))
}

fn of<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Tags, Refusal> {
    let things = desk.picture().things();
    let found = things.get(arn).filter(|_| arn.starts_with("arn:aws:ecs:")).map(|thing| thing.tags);
    found.ok_or_else(|| match arn.contains(":cluster/") {
        true => Refusal::new("ClusterNotFoundException", "Cluster not found."),
        false => invalid("The specified resource was not found."),
    })
}
