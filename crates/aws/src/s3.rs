//! Amazon S3: buckets and objects.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.

pub mod bucket;
pub mod object;

use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::OpResult;

use crate::context::AwsContext;
use crate::ids::BucketName;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_s3::Client> {
    Ok(cx.get::<AwsContext>()?.s3(cx))
}

/// Holds a bucket's name to S3's rules.
fn check_bucket(bucket: &BucketName, errors: &mut Vec<ParamError>) {
    let name = bucket.as_str();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |c: char| inner(c) || c == '-' || c == '.';
    let is_address = name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok());
    let of_aws = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|suffix| name.ends_with(suffix));
    let is_formed = (3..=63).contains(&name.len())
        && name.chars().all(fits)
        && name.starts_with(inner)
        && name.ends_with(inner)
        && !name.contains("..");
    if !is_formed || is_address || of_aws {
        let message =
            format!("{name:?} is not a bucket's name: 3 to 63 lower-case letters, digits, - and . between them");
        errors.push(ParamError::new("bucket", message));
    }
}
