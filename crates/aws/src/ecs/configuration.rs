//! The configuration of a cluster: how commands are executed in its containers, and how storage that it makes
//! is encrypted. Keys are given by ARN: that is the form in which AWS gives them back.

use aws_sdk_ecs::types::{
    ClusterConfiguration, ExecuteCommandConfiguration as DescribedExecute,
    ExecuteCommandLogConfiguration as DescribedLog, ManagedStorageConfiguration as DescribedStorage,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;

use crate::ids::{KmsKeyArn, LogGroupName};

/// How commands are executed in containers, and how storage is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// `ecs execute-command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_command_configuration: Option<ExecuteCommandConfiguration>,
    /// Storage that ECS makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_storage_configuration: Option<ManagedStorageConfiguration>,
}

/// How commands are executed in containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteCommandConfiguration {
    /// The key that encrypts what is typed and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<KmsKeyArn>,
    /// Where it is logged. AWS's default: `DEFAULT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Where to, with `OVERRIDE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_configuration: Option<LogConfiguration>,
}

/// Where executed commands are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Logging {
    /// Nowhere.
    None,
    /// Where the container logs.
    Default,
    /// Where `log_configuration` says.
    Override,
}

/// Where executed commands are logged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogConfiguration {
    /// A log group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_watch_log_group_name: Option<LogGroupName>,
    /// Whether that log group must be encrypted. AWS's default: false.
    #[serde(default)]
    pub cloud_watch_encryption_enabled: bool,
    /// A bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_bucket_name: Option<String>,
    /// Whether that bucket must be encrypted. AWS's default: false.
    #[serde(default)]
    pub s3_encryption_enabled: bool,
    /// The beginning of the keys in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_key_prefix: Option<String>,
}

/// How storage that ECS makes is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManagedStorageConfiguration {
    /// The key of managed storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<KmsKeyArn>,
    /// The key of the storage of Fargate tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fargate_ephemeral_storage_kms_key_id: Option<KmsKeyArn>,
}

/// What was read back, in the form of the parameter.
pub(super) fn read(there: Option<&ClusterConfiguration>) -> Value {
    let Some(there) = there else { return Value::Null };
    let execute = there.execute_command_configuration().map(|e| {
        json!({
            "kms_key_id": e.kms_key_id(),
            "logging": e.logging().map(|l| l.as_str()),
            "log_configuration": e.log_configuration().map(|l| json!({
                "cloud_watch_log_group_name": l.cloud_watch_log_group_name(),
                "cloud_watch_encryption_enabled": l.cloud_watch_encryption_enabled(),
                "s3_bucket_name": l.s3_bucket_name(),
                "s3_encryption_enabled": l.s3_encryption_enabled(),
                "s3_key_prefix": l.s3_key_prefix(),
            })),
        })
    });
    let storage = there.managed_storage_configuration().map(|s| {
        json!({
            "kms_key_id": s.kms_key_id(),
            "fargate_ephemeral_storage_kms_key_id": s.fargate_ephemeral_storage_kms_key_id(),
        })
    });
    json!({"execute_command_configuration": execute, "managed_storage_configuration": storage})
}

impl Logging {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Default => "DEFAULT",
            Self::Override => "OVERRIDE",
        }
    }
}

impl Configuration {
    /// With every option.
    pub(super) fn example() -> Self {
        let key = || KmsKeyArn::new("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab");
        Self {
            execute_command_configuration: Some(ExecuteCommandConfiguration {
                kms_key_id: Some(key()),
                logging: Some(Logging::Override),
                log_configuration: Some(LogConfiguration {
                    cloud_watch_log_group_name: Some(LogGroupName::new("/ecs/app/exec")),
                    cloud_watch_encryption_enabled: true,
                    s3_bucket_name: Some("app-exec".to_owned()),
                    s3_encryption_enabled: true,
                    s3_key_prefix: Some("exec".to_owned()),
                }),
            }),
            managed_storage_configuration: Some(ManagedStorageConfiguration {
                kms_key_id: Some(key()),
                fargate_ephemeral_storage_kms_key_id: Some(key()),
            }),
        }
    }

    /// As the SDK sends it.
    pub(super) fn to_sdk(&self) -> ClusterConfiguration {
        let key = |k: &KmsKeyArn| k.as_str().to_owned();
        let execute = self.execute_command_configuration.as_ref().map(|e| {
            DescribedExecute::builder()
                .set_kms_key_id(e.kms_key_id.as_ref().map(key))
                .set_logging(e.logging.map(|l| l.as_str().into()))
                .set_log_configuration(e.log_configuration.as_ref().map(LogConfiguration::to_sdk))
                .build()
        });
        let storage = self.managed_storage_configuration.as_ref().map(|s| {
            DescribedStorage::builder()
                .set_kms_key_id(s.kms_key_id.as_ref().map(key))
                .set_fargate_ephemeral_storage_kms_key_id(s.fargate_ephemeral_storage_kms_key_id.as_ref().map(key))
                .build()
        });
        ClusterConfiguration::builder()
            .set_execute_command_configuration(execute)
            .set_managed_storage_configuration(storage)
            .build()
    }

    /// Holds it to AWS's rules.
    pub(super) fn check(&self, errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: &str| errors.push(ParamError::new(field, message));
        if let Some(execute) = &self.execute_command_configuration {
            match (execute.logging, &execute.log_configuration) {
                (Some(Logging::Override), None) => {
                    wrong("configuration", "the logging `OVERRIDE` needs a `log_configuration`");
                }
                (Some(Logging::Override), Some(log)) => {
                    if log.cloud_watch_log_group_name.is_none() && log.s3_bucket_name.is_none() {
                        wrong("configuration", "the `log_configuration` names neither a log group nor a bucket");
                    }
                }
                (_, Some(_)) => wrong("configuration", "a `log_configuration` needs the logging `OVERRIDE`"),
                (_, None) => {}
            }
            if let Some(key) = &execute.kms_key_id {
                key.check("configuration", errors);
            }
        }
        if let Some(storage) = &self.managed_storage_configuration {
            for key in [&storage.kms_key_id, &storage.fargate_ephemeral_storage_kms_key_id].into_iter().flatten() {
                key.check("configuration", errors);
            }
        }
    }
}

impl LogConfiguration {
    fn to_sdk(&self) -> DescribedLog {
        DescribedLog::builder()
            .set_cloud_watch_log_group_name(self.cloud_watch_log_group_name.as_ref().map(|n| n.as_str().to_owned()))
            .cloud_watch_encryption_enabled(self.cloud_watch_encryption_enabled)
            .set_s3_bucket_name(self.s3_bucket_name.clone())
            .s3_encryption_enabled(self.s3_encryption_enabled)
            .set_s3_key_prefix(self.s3_key_prefix.clone())
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(execute: Value) -> usize {
        let configuration: Configuration =
            serde_json::from_value(json!({"execute_command_configuration": execute})).unwrap();
        let mut errors = Vec::new();
        configuration.check(&mut errors);
        errors.len()
    }

    #[test]
    fn where_commands_are_logged_is_held_to_the_rules() {
        assert_eq!(wrong(json!({"logging": "NONE"})), 0);
        assert_eq!(wrong(json!({"logging": "OVERRIDE", "log_configuration": {"s3_bucket_name": "b"}})), 0);
        assert_eq!(wrong(json!({"logging": "OVERRIDE"})), 1);
        assert_eq!(wrong(json!({"logging": "OVERRIDE", "log_configuration": {}})), 1);
        assert_eq!(wrong(json!({"log_configuration": {"s3_bucket_name": "b"}})), 1);
        assert_eq!(wrong(json!({"kms_key_id": "alias/app"})), 1);
    }

    #[test]
    fn what_was_read_has_the_form_of_the_parameter() {
        let wanted = Configuration::example();
        assert_eq!(read(Some(&wanted.to_sdk())), json!(wanted));
        assert_eq!(read(None), Value::Null);
    }
}
