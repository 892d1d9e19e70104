//! IAM: between the emulator's state view and the section of the picture.
//!
//! The emulator forgets how many versions a policy ever had, and knows nothing of AWS's own policies: the rules number
//! the versions, count the attachments, and put back whole roles, policies and profiles.

use std::collections::HashMap;

use winterbaume_iam::IamStateView;
use winterbaume_iam::views::{
    AttachedPolicyView, InlinePolicyView, InstanceProfileView, ManagedPolicyView, PolicyVersionView, RoleView,
};

use super::Emulator;
use crate::picture::iam::{Iam, Member, OidcProvider, Policy, Profile, Role, Version};
use crate::query::Tags;

/// Reads all that exists. What AWS owns has no account in its ARN, and is left out.
pub(super) fn picture_of(view: &IamStateView) -> Iam {
    let policies = view.policies.values().filter(|it| !it.arn.starts_with("arn:aws:iam::aws:"));
    let oidc_providers = view.oidc_providers.values().map(|it| {
        let provider = OidcProvider {
            url: it.url.clone(),
            clients: it.client_id_list.clone(),
            thumbprints: it.thumbprint_list.clone(),
            tags: tags(&it.tags),
        };
        (it.arn.clone(), provider)
    });
    let users = view.users.values().map(|it| {
        let member = Member {
            name: it.name.clone(),
            id: it.user_id.clone(),
            path: it.path.clone(),
            attached: arns(&it.attached_policies),
            boundary: it.permissions_boundary.clone(),
            tags: tags(&it.tags),
        };
        (it.arn.clone(), member)
    });
    let groups = view.groups.values().map(|it| {
        let member = Member {
            name: it.name.clone(),
            id: it.group_id.clone(),
            path: it.path.clone(),
            attached: arns(&it.attached_policies),
            boundary: None,
            tags: Tags::new(),
        };
        (it.arn.clone(), member)
    });
    Iam {
        roles: view.roles.values().map(|it| (it.name.clone(), role_of(it))).collect(),
        policies: policies.map(|it| (it.arn.clone(), policy_of(it))).collect(),
        profiles: view.instance_profiles.values().map(|it| (it.name.clone(), profile_of(it))).collect(),
        oidc_providers: oidc_providers.collect(),
        users: users.collect(),
        groups: groups.collect(),
    }
}

fn role_of(it: &RoleView) -> Role {
    let inline = it.inline_policies.iter().map(|of| (of.policy_name.clone(), of.policy_document.clone()));
    Role {
        arn: it.arn.clone(),
        id: it.role_id.clone(),
        path: it.path.clone(),
        description: it.description.clone(),
        trust: it.assume_role_policy_document.clone(),
        created: date(it.create_date.as_deref()),
        max_session: it.max_session_duration,
        boundary: it.permissions_boundary.clone(),
        attached: arns(&it.attached_policies),
        inline: inline.collect(),
        tags: tags(&it.tags),
    }
}

fn policy_of(it: &ManagedPolicyView) -> Policy {
    let mut versions: Vec<Version> = it
        .versions
        .iter()
        .map(|of| Version {
            number: of.version_id.trim_start_matches('v').parse().unwrap_or_default(),
            document: of.document.clone(),
            is_default: of.version_id == it.default_version_id,
            created: date(of.create_date.as_deref()),
        })
        .collect();
    versions.sort_by_key(|version| version.number);
    Policy {
        arn: it.arn.clone(),
        name: it.policy_name.clone(),
        id: it.policy_id.clone(),
        path: it.path.clone(),
        description: it.description.clone(),
        created: date(it.create_date.as_deref()),
        updated: date(it.update_date.as_deref()),
        versions,
        tags: tags(&it.tags),
    }
}

fn profile_of(it: &InstanceProfileView) -> Profile {
    Profile {
        arn: it.arn.clone(),
        id: it.instance_profile_id.clone(),
        path: it.path.clone(),
        created: date(it.create_date.as_deref()),
        roles: it.roles.clone(),
        tags: tags(&it.tags),
    }
}

fn arns(attached: &[AttachedPolicyView]) -> Vec<String> {
    attached.iter().map(|of| of.policy_arn.clone()).collect()
}

/// In the form that AWS writes.
fn date(text: Option<&str>) -> String {
    let at: jiff::Timestamp = text.and_then(|text| text.parse().ok()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn tags(tags: &HashMap<String, String>) -> Tags {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn account(arn: &str) -> String {
    arn.split(':').nth(4).unwrap_or_default().to_owned()
}

impl Emulator {
    /// Makes a role what it is here, or makes it.
    pub(crate) async fn put_role(&self, name: &str, role: &Role) {
        let inline = role
            .inline
            .iter()
            .map(|(name, document)| InlinePolicyView { policy_name: name.clone(), policy_document: document.clone() });
        let attached = role.attached.iter().map(|arn| AttachedPolicyView {
            policy_name: arn.rsplit('/').next().unwrap_or_default().to_owned(),
            policy_arn: arn.clone(),
        });
        let made = RoleView {
            name: name.to_owned(),
            role_id: role.id.clone(),
            account_id: account(&role.arn),
            path: role.path.clone(),
            arn: role.arn.clone(),
            assume_role_policy_document: role.trust.clone(),
            description: role.description.clone(),
            create_date: Some(role.created.clone()),
            max_session_duration: role.max_session,
            tags: role.tags.clone().into_iter().collect(),
            attached_policies: attached.collect(),
            inline_policies: inline.collect(),
            permissions_boundary: role.boundary.clone(),
        };
        self.edit(|view: &mut IamStateView| drop(view.roles.insert(name.to_owned(), made))).await;
    }

    /// Takes a role away.
    pub(crate) async fn drop_role(&self, name: &str) {
        self.edit(|view: &mut IamStateView| drop(view.roles.remove(name))).await;
    }

    /// Makes a managed policy what it is here, or makes it.
    pub(crate) async fn put_policy(&self, policy: &Policy) {
        let versions = policy.versions.iter().map(|version| PolicyVersionView {
            version_id: version.id(),
            document: version.document.clone(),
            is_default_version: version.is_default,
            create_date: Some(version.created.clone()),
        });
        let default = policy.default();
        let made = ManagedPolicyView {
            policy_name: policy.name.clone(),
            policy_id: policy.id.clone(),
            arn: policy.arn.clone(),
            path: policy.path.clone(),
            default_version_id: default.map(Version::id).unwrap_or_default(),
            description: policy.description.clone(),
            create_date: Some(policy.created.clone()),
            update_date: Some(policy.updated.clone()),
            is_attachable: true,
            document: default.map(|version| version.document.clone()).unwrap_or_default(),
            versions: versions.collect(),
            tags: policy.tags.clone().into_iter().collect(),
            attachment_count: 0,
        };
        self.edit(|view: &mut IamStateView| drop(view.policies.insert(policy.arn.clone(), made))).await;
    }

    /// Takes a managed policy away, with its versions.
    pub(crate) async fn drop_policy(&self, arn: &str) {
        self.edit(|view: &mut IamStateView| drop(view.policies.remove(arn))).await;
    }

    /// Makes an instance profile what it is here, or makes it.
    pub(crate) async fn put_profile(&self, name: &str, profile: &Profile) {
        let made = InstanceProfileView {
            name: name.to_owned(),
            instance_profile_id: profile.id.clone(),
            account_id: account(&profile.arn),
            path: profile.path.clone(),
            arn: profile.arn.clone(),
            create_date: Some(profile.created.clone()),
            roles: profile.roles.clone(),
            tags: profile.tags.clone().into_iter().collect(),
        };
        self.edit(|view: &mut IamStateView| drop(view.instance_profiles.insert(name.to_owned(), made))).await;
    }

    /// Takes an instance profile away.
    pub(crate) async fn drop_profile(&self, name: &str) {
        self.edit(|view: &mut IamStateView| drop(view.instance_profiles.remove(name))).await;
    }
}
