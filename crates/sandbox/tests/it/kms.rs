use std::time::Duration;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyState, KeyUsageType, Tag};
use serde_json::json;

use crate::support::{Aws, SETTLE, aws, refused};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().tag_key(key).tag_value(value).build().unwrap()
}

impl Aws {
    async fn key(&self) -> String {
        self.kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id
    }

    async fn alias(&self, name: &str, key: &str) {
        self.kms.create_alias().alias_name(name).target_key_id(key).send().await.unwrap();
    }

    async fn key_state(&self, key: &str) -> KeyState {
        let found = self.kms.describe_key().key_id(key).send().await.unwrap();
        found.key_metadata.unwrap().key_state.unwrap()
    }

    async fn schedule(&self, key: &str) {
        self.kms.schedule_key_deletion().key_id(key).pending_window_in_days(7).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_key_is_what_was_asked_for() {
    let aws = aws();
    let made = aws.kms.create_key().description("for a test").tags(tag("a", "b")).send().await.unwrap();
    let made = made.key_metadata.unwrap();
    let find = |id: &str| aws.kms.describe_key().key_id(id).send();
    let found = find(made.key_id()).await.unwrap().key_metadata.unwrap();
    assert_eq!(found, made);
    assert_eq!((found.key_state(), found.enabled()), (Some(&KeyState::Enabled), true));
    assert_eq!((found.description(), found.multi_region()), (Some("for a test"), Some(false)));
    assert_eq!(
        (found.key_spec(), found.key_usage()),
        (Some(&KeySpec::SymmetricDefault), Some(&KeyUsageType::EncryptDecrypt))
    );
    assert!(found.creation_date().is_some() && found.deletion_date().is_none());
    assert_eq!(find(made.arn().unwrap()).await.unwrap().key_metadata.unwrap(), made);
    refused(find(UNKNOWN).await, "NotFoundException");
    refused(find("alias/none").await, "NotFoundException");
    let elsewhere = made.arn().unwrap().replace("us-east-1", "eu-west-1");
    refused(find(&elsewhere).await, "NotFoundException");
    let many = aws.kms.create_key().multi_region(true).send().await.unwrap().key_metadata.unwrap();
    assert!(many.key_id().starts_with("mrk-") && many.multi_region_configuration().is_some());
}

#[tokio::test]
async fn specs_and_usages_fit() {
    let aws = aws();
    let create = |spec: KeySpec| aws.kms.create_key().key_spec(spec);
    refused(create(KeySpec::from("RSA_1")).send().await, "ValidationException");
    refused(create(KeySpec::Rsa2048).send().await, "ValidationException");
    let symmetric = create(KeySpec::SymmetricDefault).key_usage(KeyUsageType::SignVerify);
    refused(symmetric.send().await, "ValidationException");
    let made = create(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify).send().await.unwrap();
    assert_eq!(made.key_metadata.unwrap().signing_algorithms().len(), 1);
}

#[tokio::test]
async fn tags_are_checked_and_listed_in_pages() {
    let aws = aws();
    let create = |tags: Vec<Tag>| aws.kms.create_key().set_tags(Some(tags)).send();
    refused(create(vec![tag("aws:x", "y")]).await, "TagException");
    refused(create(vec![tag("a", "b"), tag("a", "c")]).await, "TagException");
    let many = (0..51).map(|n| tag(&format!("k{n}"), "v")).collect();
    refused(create(many).await, "TagException");
    let all = (0..3).map(|n| tag(&format!("k{n}"), "v")).collect();
    let key = create(all).await.unwrap().key_metadata.unwrap().key_id;
    let list = || aws.kms.list_resource_tags().key_id(&key);
    let first = list().limit(2).send().await.unwrap();
    assert_eq!((first.tags().len(), first.truncated()), (2, true));
    let rest = list().limit(2).marker(first.next_marker().unwrap()).send().await.unwrap();
    assert_eq!((rest.tags(), rest.truncated()), ([tag("k2", "v")].as_slice(), false));
    refused(list().limit(51).send().await, "ValidationException");
    refused(list().marker("x").send().await, "InvalidMarkerException");
    let add = |tag: Tag| aws.kms.tag_resource().key_id(&key).tags(tag).send();
    refused(add(tag("aws:x", "y")).await, "TagException");
    add(tag("k0", "w")).await.unwrap();
    aws.kms.untag_resource().key_id(&key).tag_keys("k1").send().await.unwrap();
    assert_eq!(list().send().await.unwrap().tags(), [tag("k0", "w"), tag("k2", "v")]);
}

#[tokio::test]
async fn keys_and_aliases_are_listed_in_pages() {
    let aws = aws();
    let mut keys = vec![aws.key().await, aws.key().await, aws.key().await];
    keys.sort();
    for (n, key) in keys.iter().enumerate() {
        aws.alias(&format!("alias/{n}"), key).await;
    }
    let first = aws.kms.list_keys().limit(2).send().await.unwrap();
    let rest = aws.kms.list_keys().marker(first.next_marker().unwrap()).send().await.unwrap();
    let listed: Vec<_> = first.keys().iter().chain(rest.keys()).filter_map(|it| it.key_id()).collect();
    assert_eq!(listed, keys);
    refused(aws.kms.list_keys().limit(1001).send().await, "ValidationException");
    let first = aws.kms.list_aliases().limit(2).send().await.unwrap();
    let rest = aws.kms.list_aliases().marker(first.next_marker().unwrap()).send().await.unwrap();
    assert_eq!((first.aliases().len(), rest.aliases().len()), (2, 1));
    let of_one = aws.kms.list_aliases().key_id(&keys[1]).send().await.unwrap();
    assert_eq!(of_one.aliases()[0].alias_name(), Some("alias/1"));
    refused(aws.kms.list_aliases().key_id(UNKNOWN).send().await, "NotFoundException");
}

#[tokio::test]
async fn deletion_waits_for_its_days() {
    let aws = aws();
    let key = aws.key().await;
    aws.alias("alias/a", &key).await;
    let schedule = |days: i32| aws.kms.schedule_key_deletion().key_id(&key).pending_window_in_days(days).send();
    refused(schedule(6).await, "ValidationException");
    refused(schedule(31).await, "ValidationException");
    let by_alias = aws.kms.schedule_key_deletion().key_id("alias/a").send().await;
    refused(by_alias, "NotFoundException");
    let scheduled = schedule(7).await.unwrap();
    assert_eq!(scheduled.key_state(), Some(&KeyState::PendingDeletion));
    assert_eq!(scheduled.pending_window_in_days(), Some(7));
    refused(schedule(7).await, "KMSInvalidStateException");
    assert_eq!(aws.key_state(&key).await, KeyState::PendingDeletion);
    aws.sandbox.clock().advance(DAY * 7 - Duration::from_secs(1));
    assert_eq!(aws.key_state("alias/a").await, KeyState::PendingDeletion);
    aws.sandbox.clock().advance(Duration::from_secs(1));
    refused(aws.kms.describe_key().key_id(&key).send().await, "NotFoundException");
    assert!(aws.kms.list_aliases().send().await.unwrap().aliases().is_empty());
}

#[tokio::test]
async fn a_key_that_waits_for_deletion_is_residue() {
    let aws = aws();
    let key = aws.key().await;
    assert_eq!(aws.sandbox.world().await.of_kind("kms-key").count(), 1);
    aws.schedule(&key).await;
    let world = aws.sandbox.world().await;
    assert_eq!((world.total, world.residue.len()), (0, 1));
    assert_eq!(world.residue[0].kind, "kms-key");
}

#[tokio::test]
async fn cancelled_deletion_leaves_a_disabled_key() {
    let aws = aws();
    let key = aws.key().await;
    let cancel = || aws.kms.cancel_key_deletion().key_id(&key).send();
    refused(cancel().await, "KMSInvalidStateException");
    aws.schedule(&key).await;
    cancel().await.unwrap();
    assert_eq!(aws.key_state(&key).await, KeyState::Disabled);
    aws.kms.enable_key().key_id(&key).send().await.unwrap();
    aws.sandbox.clock().advance(DAY * 31);
    assert_eq!(aws.key_state(&key).await, KeyState::Enabled);
}

#[tokio::test]
async fn a_key_that_waits_for_deletion_takes_no_change() {
    let aws = aws();
    let (key, other) = (aws.key().await, aws.key().await);
    aws.alias("alias/other", &other).await;
    aws.schedule(&key).await;
    let code = "KMSInvalidStateException";
    let kms = &aws.kms;
    refused(kms.enable_key().key_id(&key).send().await, code);
    refused(kms.disable_key().key_id(&key).send().await, code);
    refused(kms.enable_key_rotation().key_id(&key).send().await, code);
    refused(kms.tag_resource().key_id(&key).tags(tag("a", "b")).send().await, code);
    refused(kms.untag_resource().key_id(&key).tag_keys("a").send().await, code);
    refused(kms.update_key_description().key_id(&key).description("x").send().await, code);
    refused(kms.put_key_policy().key_id(&key).policy("{}").send().await, code);
    refused(kms.create_alias().alias_name("alias/a").target_key_id(&key).send().await, code);
    refused(kms.update_alias().alias_name("alias/other").target_key_id(&key).send().await, code);
    refused(kms.encrypt().key_id(&key).plaintext(Blob::new("x")).send().await, code);
}

#[tokio::test]
async fn only_symmetric_keys_rotate() {
    let aws = aws();
    let key = aws.key().await;
    let enable = |key: &str| aws.kms.enable_key_rotation().key_id(key);
    refused(enable(&key).rotation_period_in_days(89).send().await, "ValidationException");
    refused(enable(UNKNOWN).send().await, "NotFoundException");
    let status = || aws.kms.get_key_rotation_status().key_id(&key).send();
    assert!(!status().await.unwrap().key_rotation_enabled());
    enable(&key).rotation_period_in_days(90).send().await.unwrap();
    let found = status().await.unwrap();
    assert_eq!((found.key_rotation_enabled(), found.rotation_period_in_days()), (true, Some(90)));
    aws.kms.disable_key_rotation().key_id(&key).send().await.unwrap();
    assert!(!status().await.unwrap().key_rotation_enabled());
    aws.kms.disable_key().key_id(&key).send().await.unwrap();
    refused(enable(&key).send().await, "DisabledException");
    let made = aws.kms.create_key().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::SignVerify).send().await;
    let signing = made.unwrap().key_metadata.unwrap().key_id;
    refused(enable(&signing).send().await, "UnsupportedOperationException");
}

#[tokio::test]
async fn policies_are_kept_and_checked() {
    let aws = aws();
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*", "Resource": "*",
    }]});
    let made = aws.kms.create_key().policy(policy.to_string()).send().await.unwrap();
    let key = made.key_metadata.unwrap().key_id;
    let get = |key: &str| aws.kms.get_key_policy().key_id(key).send();
    assert_eq!(get(&key).await.unwrap().policy(), Some(policy.to_string().as_str()));
    let plain = aws.key().await;
    assert!(get(&plain).await.unwrap().policy().unwrap().contains("arn:aws:iam::123456789012:root"));
    let bad = policy.to_string().replace("Allow", "Perhaps");
    refused(aws.kms.create_key().policy(&bad).send().await, "MalformedPolicyDocumentException");
    let put = |policy: &str| aws.kms.put_key_policy().key_id(&plain).policy(policy).send();
    refused(put(&bad).await, "MalformedPolicyDocumentException");
    refused(put(&policy.to_string().replace("kms:*", "kms:Sign")).await, "MalformedPolicyDocumentException");
    put(&policy.to_string()).await.unwrap();
    assert_eq!(get(&plain).await.unwrap().policy(), Some(policy.to_string().as_str()));
}

#[tokio::test]
async fn a_policy_names_roles_that_kms_can_see() {
    let aws = aws();
    let policy = |role: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": role}, "Action": "kms:*", "Resource": "*",
        }]})
        .to_string()
    };
    let create = |role: &str| aws.kms.create_key().policy(policy(role)).send();
    refused(create("arn:aws:iam::123456789012:role/none").await, "MalformedPolicyDocumentException");
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole",
    }]});
    let made = aws.iam.create_role().role_name("app").assume_role_policy_document(trust.to_string());
    let role = made.send().await.unwrap().role.unwrap().arn;
    refused(create(&role).await, "MalformedPolicyDocumentException");
    aws.sandbox.clock().advance(SETTLE);
    create(&role).await.unwrap();
}

#[tokio::test]
async fn aliases_have_a_form_and_point_at_keys() {
    let aws = aws();
    let (key, other) = (aws.key().await, aws.key().await);
    let create = |name: &str, key: &str| aws.kms.create_alias().alias_name(name).target_key_id(key).send();
    refused(create("no-prefix", &key).await, "ValidationException");
    refused(create("alias/", &key).await, "ValidationException");
    refused(create("alias/a b", &key).await, "ValidationException");
    refused(create("alias/a:b", &key).await, "ValidationException");
    refused(create("alias/aws/s3", &key).await, "NotAuthorizedException");
    refused(create("alias/a", UNKNOWN).await, "NotFoundException");
    create("alias/a", &key).await.unwrap();
    let message = refused(create("alias/a", &other).await, "AlreadyExistsException");
    assert!(message.contains("arn:aws:kms:us-east-1:123456789012:alias/a"), "{message}");
    let target = async || aws.kms.describe_key().key_id("alias/a").send().await.unwrap().key_metadata.unwrap().key_id;
    assert_eq!(target().await, key);
    let update = |name: &str, key: &str| aws.kms.update_alias().alias_name(name).target_key_id(key).send();
    refused(update("alias/none", &key).await, "NotFoundException");
    let made = aws.kms.create_key().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::SignVerify).send().await;
    refused(update("alias/a", &made.unwrap().key_metadata.unwrap().key_id).await, "ValidationException");
    update("alias/a", &other).await.unwrap();
    assert_eq!(target().await, other);
    let delete = || aws.kms.delete_alias().alias_name("alias/a").send();
    delete().await.unwrap();
    refused(delete().await, "NotFoundException");
}

#[tokio::test]
async fn data_comes_back_as_it_was() {
    let aws = aws();
    let key = aws.key().await;
    aws.alias("alias/a", &key).await;
    let secret = aws.kms.encrypt().key_id("alias/a").plaintext(Blob::new("text")).send().await.unwrap();
    let open = || aws.kms.decrypt().ciphertext_blob(secret.ciphertext_blob().unwrap().clone()).send();
    assert_eq!(open().await.unwrap().plaintext().unwrap().as_ref(), b"text");
    aws.kms.disable_key().key_id(&key).send().await.unwrap();
    refused(open().await, "DisabledException");
}
