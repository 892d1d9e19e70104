//! IAM: managed policies and their versions.

use aws_sdk_iam::types::{EntityType, PolicyScopeType, Tag};

use crate::support::{Aws, aws, refused, refused_with};

const DOCUMENT: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;

async fn policy(aws: &Aws, name: &str) -> String {
    let made = aws.iam.create_policy().policy_name(name).policy_document(DOCUMENT).send().await.unwrap();
    made.policy.unwrap().arn.unwrap()
}

async fn version(aws: &Aws, arn: &str) -> String {
    let made = aws.iam.create_policy_version().policy_arn(arn).policy_document(DOCUMENT).send().await.unwrap();
    made.policy_version.unwrap().version_id.unwrap()
}

#[tokio::test]
async fn a_policy_says_what_it_was_given() {
    let aws = aws();
    let tag = Tag::builder().key("a").value("b").build().unwrap();
    let made = aws.iam.create_policy().policy_name("Read").path("/app/").policy_document(DOCUMENT);
    let made = made.description("reads").tags(tag.clone()).send().await.unwrap().policy.unwrap();
    let arn = "arn:aws:iam::123456789012:policy/app/Read";
    assert_eq!((made.arn(), made.default_version_id(), made.tags()), (Some(arn), Some("v1"), [tag.clone()].as_slice()));
    let seen = aws.iam.get_policy().policy_arn(arn).send().await.unwrap().policy.unwrap();
    assert_eq!((seen.description(), seen.tags(), seen.attachment_count()), (Some("reads"), [tag].as_slice(), Some(0)));
    assert!(seen.policy_id().unwrap().starts_with("ANPA") && seen.is_attachable());
    let read = aws.iam.get_policy_version().policy_arn(arn).version_id("v1").send().await.unwrap();
    let read = read.policy_version.unwrap();
    assert!(read.document().unwrap().starts_with("%7B%22Version%22%3A%20"), "{read:?}");
    let listed = aws.iam.list_policies().scope(PolicyScopeType::Local).send().await.unwrap();
    let listed = &listed.policies()[0];
    assert_eq!((listed.arn(), listed.description(), listed.tags()), (Some(arn), None, [].as_slice()));
}

#[tokio::test]
async fn a_name_is_one_in_any_path() {
    let aws = aws();
    policy(&aws, "Read").await;
    let again = aws.iam.create_policy().policy_name("read").path("/x/").policy_document(DOCUMENT).send().await;
    let message = refused_with(again, 409, "EntityAlreadyExists");
    assert_eq!(message, "A policy called read already exists. Duplicate names are not allowed.");
    let bad = aws.iam.create_policy().policy_name("a b").policy_document(DOCUMENT).send().await;
    refused(bad, "ValidationError");
}

#[tokio::test]
async fn documents_are_checked() {
    let aws = aws();
    let create = |document: &str| aws.iam.create_policy().policy_name("a").policy_document(document).send();
    refused(create("not json").await, "MalformedPolicyDocument");
    let with_principal = DOCUMENT.replace("\"Effect\"", "\"Principal\": {\"AWS\": \"*\"}, \"Effect\"");
    let message = refused(create(&with_principal).await, "MalformedPolicyDocument");
    assert_eq!(message, "Policy document should not specify a principal.");
    let long = DOCUMENT.replace("s3:*", &format!("s3:{}", "x".repeat(6144)));
    refused_with(create(&long).await, 409, "LimitExceeded");
    let arn = policy(&aws, "a").await;
    let version = |document: &str| aws.iam.create_policy_version().policy_arn(&arn).policy_document(document).send();
    refused(version(&with_principal).await, "MalformedPolicyDocument");
}

#[tokio::test]
async fn a_policy_has_five_versions_and_numbers_are_used_once() {
    let aws = aws();
    let arn = policy(&aws, "a").await;
    for expected in ["v2", "v3", "v4", "v5"] {
        assert_eq!(version(&aws, &arn).await, expected);
    }
    let more = aws.iam.create_policy_version().policy_arn(&arn).policy_document(DOCUMENT).send();
    let message = refused_with(more.await, 409, "LimitExceeded");
    assert!(message.starts_with("A managed policy can have up to 5 versions."), "{message}");
    let delete = |id: &str| aws.iam.delete_policy_version().policy_arn(&arn).version_id(id).send();
    assert_eq!(
        refused_with(delete("v1").await, 409, "DeleteConflict"),
        "Cannot delete the default version of a policy."
    );
    delete("v5").await.unwrap();
    refused_with(delete("v5").await, 404, "NoSuchEntity");
    refused(delete("5").await, "ValidationError");
    // Also after everything was put back.
    let snapshot = aws.sandbox.snapshot().await;
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(version(&aws, &arn).await, "v6");
    aws.iam.set_default_policy_version().policy_arn(&arn).version_id("v2").send().await.unwrap();
    delete("v1").await.unwrap();
    let versions = aws.iam.list_policy_versions().policy_arn(&arn).max_items(3).send().await.unwrap();
    let ids: Vec<_> =
        versions.versions().iter().map(|it| (it.version_id().unwrap(), it.is_default_version())).collect();
    assert_eq!((ids, versions.is_truncated()), (vec![("v6", false), ("v4", false), ("v3", false)], true));
    let seen = aws.iam.get_policy().policy_arn(&arn).send().await.unwrap().policy.unwrap();
    assert_eq!(seen.default_version_id(), Some("v2"));
}

#[tokio::test]
async fn a_version_can_be_the_default_at_once() {
    let aws = aws();
    let arn = policy(&aws, "a").await;
    let made = aws.iam.create_policy_version().policy_arn(&arn).policy_document(DOCUMENT).set_as_default(true);
    assert!(made.send().await.unwrap().policy_version.unwrap().is_default_version());
    let first = aws.iam.get_policy_version().policy_arn(&arn).version_id("v1").send().await.unwrap();
    assert!(!first.policy_version.unwrap().is_default_version());
}

#[tokio::test]
async fn a_policy_is_held_by_versions_and_by_who_has_it() {
    let aws = aws();
    let arn = policy(&aws, "a").await;
    aws.iam.create_role().role_name("r").assume_role_policy_document(TRUST).send().await.unwrap();
    aws.iam.create_user().user_name("u").send().await.unwrap();
    aws.iam.attach_role_policy().role_name("r").policy_arn(&arn).send().await.unwrap();
    aws.iam.attach_user_policy().user_name("u").policy_arn(&arn).send().await.unwrap();
    let delete = || aws.iam.delete_policy().policy_arn(&arn).send();
    assert_eq!(refused_with(delete().await, 409, "DeleteConflict"), "Cannot delete a policy attached to entities.");
    let seen = aws.iam.get_policy().policy_arn(&arn).send().await.unwrap().policy.unwrap();
    assert_eq!(seen.attachment_count(), Some(2));
    let entities = || aws.iam.list_entities_for_policy().policy_arn(&arn);
    let all = entities().send().await.unwrap();
    assert_eq!(all.policy_roles()[0].role_name(), Some("r"));
    assert_eq!((all.policy_users()[0].user_name(), all.policy_groups().len()), (Some("u"), 0));
    let roles = entities().entity_filter(EntityType::Role).send().await.unwrap();
    assert_eq!((roles.policy_roles().len(), roles.policy_users().len()), (1, 0));
    aws.iam.detach_role_policy().role_name("r").policy_arn(&arn).send().await.unwrap();
    aws.iam.detach_user_policy().user_name("u").policy_arn(&arn).send().await.unwrap();
    version(&aws, &arn).await;
    let message = refused_with(delete().await, 409, "DeleteConflict");
    assert!(message.starts_with("This policy has more than one version."), "{message}");
    aws.iam.delete_policy_version().policy_arn(&arn).version_id("v2").send().await.unwrap();
    delete().await.unwrap();
    assert_eq!(refused_with(delete().await, 404, "NoSuchEntity"), format!("Policy {arn} was not found."));
    assert_eq!(version(&aws, &policy(&aws, "a").await).await, "v2", "a new policy counts anew");
}

#[tokio::test]
async fn a_boundary_must_exist_and_holds_the_policy() {
    let aws = aws();
    let create = |boundary: &str| {
        let create = aws.iam.create_role().role_name("r").assume_role_policy_document(TRUST);
        create.permissions_boundary(boundary).send()
    };
    refused_with(create("arn:aws:iam::123456789012:policy/none").await, 404, "NoSuchEntity");
    let arn = policy(&aws, "a").await;
    create(&arn).await.unwrap();
    let role = aws.iam.get_role().role_name("r").send().await.unwrap().role.unwrap();
    assert_eq!(role.permissions_boundary().unwrap().permissions_boundary_arn(), Some(arn.as_str()));
    refused_with(aws.iam.delete_policy().policy_arn(&arn).send().await, 409, "DeleteConflict");
}

#[tokio::test]
async fn policies_of_aws_are_there_and_nobody_changes_them() {
    let aws = aws();
    let arn = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let seen = aws.iam.get_policy().policy_arn(arn).send().await.unwrap().policy.unwrap();
    let default = seen.default_version_id().unwrap();
    let read = aws.iam.get_policy_version().policy_arn(arn).version_id(default).send().await.unwrap();
    assert!(read.policy_version.unwrap().document().unwrap().contains("ec2%3ADescribe"));
    refused_with(aws.iam.delete_policy().policy_arn(arn).send().await, 403, "AccessDenied");
    let version = aws.iam.create_policy_version().policy_arn(arn).policy_document(DOCUMENT).send().await;
    refused_with(version, 403, "AccessDenied");
    let own = policy(&aws, "a").await;
    let listed = async |scope| {
        let listed = aws.iam.list_policies().scope(scope).send().await.unwrap();
        let arns: Vec<String> = listed.policies().iter().filter_map(|it| it.arn.clone()).collect();
        (arns.contains(&own), arns.iter().any(|held| held == arn))
    };
    assert_eq!(listed(PolicyScopeType::All).await, (true, true));
    assert_eq!(listed(PolicyScopeType::Local).await, (true, false));
    assert_eq!(listed(PolicyScopeType::Aws).await, (false, true));
    let attached = aws.iam.list_policies().only_attached(true).send().await.unwrap();
    assert_eq!(attached.policies(), []);
    assert_eq!(aws.sandbox.world().await.total, 1, "they are not part of the world");
}

#[tokio::test]
async fn tags_of_a_policy_are_set_and_taken() {
    let aws = aws();
    let arn = policy(&aws, "a").await;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().unwrap();
    aws.iam.tag_policy().policy_arn(&arn).tags(tag("a", "1")).tags(tag("b", "2")).send().await.unwrap();
    aws.iam.untag_policy().policy_arn(&arn).tag_keys("A").send().await.unwrap();
    assert_eq!(aws.iam.list_policy_tags().policy_arn(&arn).send().await.unwrap().tags(), [tag("b", "2")]);
    let unknown = "arn:aws:iam::123456789012:policy/none";
    refused_with(aws.iam.tag_policy().policy_arn(unknown).tags(tag("a", "1")).send().await, 404, "NoSuchEntity");
}
