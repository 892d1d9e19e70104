//! KMS: from the emulator's state view to the section of the picture, and what its calls cannot change.

use winterbaume_kms::KmsStateView;

use super::Emulator;
use crate::picture::kms::{Alias, Key, Kms};
use crate::query::Tags;

/// Reads all that exists.
pub(super) fn picture_of(view: &KmsStateView) -> Kms {
    let keys = view.keys.values().map(|it| {
        let key = Key {
            arn: it.arn.clone(),
            description: it.description.clone(),
            spec: it.key_spec.clone(),
            usage: it.key_usage.clone(),
            state: it.key_state.clone(),
            origin: it.origin.clone(),
            created: seconds(&it.creation_date).unwrap_or_default(),
            deletion: it.deletion_date.as_deref().and_then(seconds),
            rotates: it.key_rotation_enabled,
            multi_region: it.multi_region,
            is_managed: it.key_manager == "AWS",
            policy: view.key_policies.get(&it.key_id).cloned(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.key_id.clone(), key)
    });
    let aliases = view
        .aliases
        .values()
        .map(|it| (it.alias_name.clone(), Alias { arn: it.alias_arn.clone(), target: it.target_key_id.clone() }));
    Kms { keys: keys.collect(), aliases: aliases.collect(), no_tags: Tags::new() }
}

fn seconds(date: &str) -> Option<i64> {
    date.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

impl Emulator {
    /// Takes away a key, and what goes with it: aliases, grants, its policy.
    pub(crate) async fn drop_kms_key(&self, id: &str) {
        self.edit(|view: &mut KmsStateView| {
            view.keys.remove(id);
            view.key_policies.remove(id);
            view.key_rotations.remove(id);
            view.imported_key_material.remove(id);
            view.aliases.retain(|_, alias| alias.target_key_id != id);
            view.grants.retain(|_, grant| grant.key_id != id);
        })
        .await;
    }
}
