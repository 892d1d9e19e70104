//! Secrets Manager: secrets and their values.

pub mod secret;
pub mod secret_value;
pub mod value;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use switchback_engine::Cx;
use switchback_model::{ErrorClass, OpError, OpResult};

use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::named::Named;
use crate::tags::{self, Tags};

/// The label of the version that readers get.
const CURRENT: &str = "AWSCURRENT";
/// The label of the version that was current before.
const PREVIOUS: &str = "AWSPREVIOUS";

fn client(cx: &Cx) -> OpResult<aws_sdk_secretsmanager::Client> {
    Ok(cx.get::<AwsContext>()?.secretsmanager(cx))
}

/// A secret, described; its value is never read.
#[derive(Debug)]
struct There {
    now: DescribeSecretOutput,
    tags: Tags,
}

impl There {
    /// Also one that is scheduled for deletion. `id` is a name or an ARN.
    async fn read_any(cx: &Cx, id: &str) -> OpResult<Option<Self>> {
        let read = client(cx)?.describe_secret().secret_id(id).send().await;
        let read = found(read.map_err(|e| op_error(Call::new("secretsmanager:DescribeSecret", id), e)))?;
        Ok(read.map(|now| Self { tags: tags::read(now.tags().iter().map(|tag| (tag.key(), tag.value()))), now }))
    }

    fn arn(&self) -> &str {
        self.now.arn().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.now.name().unwrap_or_default()
    }

    /// The id of the version that has the label.
    fn labelled(&self, label: &str) -> Option<&str> {
        let mut versions = self.now.version_ids_to_stages().into_iter().flatten();
        versions.find(|(_, labels)| labels.iter().any(|held| held == label)).map(|(id, _)| id.as_str())
    }

    /// The labels of a version, in order; none where it is not there or has none.
    fn labels_of(&self, version: &str) -> Vec<&str> {
        let labels = self.now.version_ids_to_stages().and_then(|all| all.get(version));
        let mut labels: Vec<&str> = labels.into_iter().flatten().map(String::as_str).collect();
        labels.sort_unstable();
        labels
    }
}

impl Named for There {
    const WHAT: &'static str = "secret";

    /// What is scheduled for deletion can be read by nobody: it is not there.
    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        Ok(Self::read_any(cx, name).await?.filter(|there| there.now.deleted_date().is_none()))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.arn()
    }
}

/// A key that was made a moment ago, or may be used since a moment ago, cannot be used everywhere yet.
fn unless_key_is_unseen(mut error: OpError, has_key: bool) -> OpError {
    if has_key && error.code.as_deref() == Some("EncryptionFailure") {
        error.class = ErrorClass::Busy;
    }
    error
}
