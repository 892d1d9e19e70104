//! Buckets.
//!
//! In us-east-1 creating one that the caller owns already succeeds and changes nothing.

use super::{Desk, THIS, headed};
use crate::input::Input;
use crate::notes::Answer;
use crate::picture::s3::arn;
use crate::query::{Tags, check_tags};
use crate::refusal::Refusal;
use crate::xml::{text_of, unescaped};

/// The region that has no constraint of that name.
const FIRST_REGION: &str = "us-east-1";

pub(super) async fn create(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let name = input.body()?.required("Bucket")?;
    check_name(name)?;
    let rest = input.rest()?;
    let document = String::from_utf8_lossy(&rest.body).into_owned();
    let region = desk.place.region.clone();
    match text_of(&document, "LocationConstraint") {
        None if region == FIRST_REGION => {}
        Some(of) if of == region && region != FIRST_REGION => {}
        Some(FIRST_REGION) if region == FIRST_REGION => {
            return Err(Refusal::new("InvalidLocationConstraint", "The specified location-constraint is not valid"));
        }
        of => {
            let of = of.unwrap_or("unspecified");
            return Err(Refusal::new(
                "IllegalLocationConstraintException",
                format!(
                    "The {of} location constraint is incompatible for the region specific endpoint this request was \
                     sent to."
                ),
            ));
        }
    }
    let tags = tags(&document);
    check_tags(&tags)?;
    let arn = arn(name, None);
    let holder = desk.world.iter().find(|(_, local)| local.picture.s3.buckets.contains_key(&arn));
    match holder.map(|(place, _)| place) {
        Some(place) if place.account != desk.place.account => {
            return Err(Refusal::new(
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all users of the \
                 system. Please select a different name and try again.",
            )
            .with_status(409));
        }
        Some(place) if place.region == FIRST_REGION && region == FIRST_REGION => {
            return Ok(headed(200, &[("location", &format!("/{name}"))]));
        }
        Some(_) => {
            return Err(Refusal::new(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
            )
            .with_status(409));
        }
        None => {}
    }
    if desk.is_blocked(&arn) {
        return Err(Refusal::new(
            "OperationAborted",
            "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        )
        .with_status(409));
    }
    let raw = desk.emulator.act_rest(THIS, rest).await?;
    desk.emulator.furnish_bucket(name, tags).await;
    desk.look();
    Ok(Answer::Rest(raw.into_reply()))
}

pub(super) async fn delete(desk: &mut Desk<'_>, name: &str, input: &Input) -> Result<Answer, Refusal> {
    let answer = desk.pass_on(input).await?;
    // Its name is free for everybody, but not at once.
    desk.block(&arn(name, None), desk.settings.settle);
    Ok(answer)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(3..=63).contains(&name.len()) || !name.chars().all(fits) || !name.starts_with(ends) || !name.ends_with(ends) {
        return Err(Refusal::new("InvalidBucketName", "The specified bucket is not valid."));
    }
    Ok(())
}

/// The tags in a document.
fn tags(document: &str) -> Tags {
    let tag = |part: &str| Some((unescaped(text_of(part, "Key")?), unescaped(text_of(part, "Value")?)));
    document.split("<Tag>").skip(1).filter_map(tag).collect()
}
