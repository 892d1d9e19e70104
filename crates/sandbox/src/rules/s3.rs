//! S3: buckets and objects.
//!
//! A bucket's name is unique in all accounts and regions. A new bucket is closed to the public. Settings of buckets and
//! what objects hold are the emulator's; heads of objects are mended, for it forgets their metadata there.

mod bucket;
mod object;

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::{Answer, Reply};
use crate::picture::s3::arn;
use crate::refusal::Refusal;
use crate::service::Service;

pub(super) use self::object::SHA256;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    match input.action.as_str() {
        "ListBuckets" => desk.pass_on(input).await,
        "CreateBucket" => bucket::create(desk, input).await,
        _ => {
            let name = body.required("Bucket")?;
            find(desk, name)?;
            match input.action.as_str() {
                "DeleteBucket" => bucket::delete(desk, name, input).await,
                "PutObject" => object::put(desk, name, input).await,
                "HeadObject" => object::head(desk, name, body),
                // A call that has no more rules here yet.
                _ => desk.pass_on(input).await,
            }
        }
    }
}

/// The caller can reach the bucket here.
fn find(desk: &Desk<'_>, name: &str) -> Result<(), Refusal> {
    let arn = arn(name, None);
    if desk.picture().s3.buckets.contains_key(&arn) {
        return Ok(());
    }
    let place =
        desk.world.iter().find(|(_, local)| local.picture.s3.buckets.contains_key(&arn)).map(|(place, _)| place);
    Err(match place {
        Some(place) if place.account != desk.place.account => {
            Refusal::new("AccessDenied", "Access Denied").with_status(403)
        }
        Some(_) => Refusal::new(
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all \
             future requests to this endpoint.",
        )
        .with_status(301),
        None => Refusal::new("NoSuchBucket", "The specified bucket does not exist").with_status(404),
    })
}

/// A parameter of a REST call that is not given when it is empty.
fn given<'a>(body: &'a Body, name: &str) -> Result<Option<&'a str>, Refusal> {
    Ok(body.text(name)?.filter(|text| !text.is_empty()))
}

/// A reply that says everything in its headers.
fn headed(status: u16, headers: &[(&str, &str)]) -> Answer {
    let header = |(name, value): &(&str, &str)| {
        let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, http::HeaderValue::from_str(value).ok()?))
    };
    Answer::Rest(Reply { status, headers: headers.iter().filter_map(header).collect(), ..Reply::default() })
}

const THIS: Service = Service::S3;
