//! Secrets Manager: between the emulator's state view and the section of the picture.

use winterbaume_secretsmanager::SecretsmanagerStateView;
use winterbaume_secretsmanager::views::{SecretVersionView, SecretView};

use super::Emulator;
use crate::picture::secrets::{Secret, Secrets, Value, Version};

/// Reads all that exists.
pub(super) fn picture_of(view: &SecretsmanagerStateView) -> Secrets {
    let secrets = view.secrets.values().map(|it| {
        let versions = it.versions.values().map(|of| {
            let mut stages = of.version_stages.clone();
            stages.sort();
            let value = match &of.secret_binary {
                Some(bytes) => Value::Bytes(bytes.clone()),
                None => Value::Text(of.secret_string.clone().unwrap_or_default()),
            };
            (of.version_id.clone(), Version { value, stages, created: date(&of.created_date) })
        });
        let secret = Secret {
            arn: it.arn.clone(),
            description: it.description.clone(),
            versions: versions.collect(),
            created: date(&it.created_date),
            changed: date(&it.last_changed_date),
            deleted: it.deleted_date.as_deref().map(date),
            policy: it.resource_policy.clone(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.name.clone(), secret)
    });
    Secrets { secrets: secrets.collect() }
}

fn date(text: &str) -> jiff::Timestamp {
    text.parse().unwrap_or_default()
}

impl Emulator {
    /// Makes a secret what it is here, or makes it. How it is rotated and copied stays as it was.
    pub(crate) async fn put_secret(&self, name: &str, secret: &Secret) {
        let versions = secret.versions.iter().map(|(id, version)| {
            let (text, bytes) = match &version.value {
                Value::Text(text) => (Some(text.clone()), None),
                Value::Bytes(bytes) => (None, Some(bytes.clone())),
            };
            let view = SecretVersionView {
                version_id: id.clone(),
                secret_string: text,
                secret_binary: bytes,
                created_date: version.created.to_string(),
                version_stages: version.stages.clone(),
            };
            (id.clone(), view)
        });
        let made = SecretView {
            name: name.to_owned(),
            arn: secret.arn.clone(),
            description: secret.description.clone(),
            created_date: secret.created.to_string(),
            last_changed_date: secret.changed.to_string(),
            versions: versions.collect(),
            current_version_id: secret.staged("AWSCURRENT").map(str::to_owned),
            deleted_date: secret.deleted.map(|at| at.to_string()),
            tags: secret.tags.clone().into_iter().collect(),
            resource_policy: secret.policy.clone(),
            rotation_enabled: None,
            rotation_lambda_arn: None,
            rotation_rules: None,
            last_rotated_date: None,
            replication_status: Vec::new(),
            primary_region: None,
        };
        self.edit(|view: &mut SecretsmanagerStateView| {
            let rest = view.secrets.remove(name);
            let made = match rest {
                None => made,
                Some(held) => SecretView {
                    rotation_enabled: held.rotation_enabled,
                    rotation_lambda_arn: held.rotation_lambda_arn,
                    rotation_rules: held.rotation_rules,
                    last_rotated_date: held.last_rotated_date,
                    replication_status: held.replication_status,
                    primary_region: held.primary_region,
                    ..made
                },
            };
            view.secrets.insert(name.to_owned(), made);
        })
        .await;
    }

    /// Takes a secret away, with its values.
    pub(crate) async fn drop_secret(&self, name: &str) {
        self.edit(|view: &mut SecretsmanagerStateView| drop(view.secrets.remove(name))).await;
    }
}
