//! KMS: from the emulator's state view to the section of the picture.

use winterbaume_kms::KmsStateView;

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
