//! IAM: roles, what is in them, instance profiles.

use aws_sdk_iam::types::Tag;
use switchback_sandbox::Sandbox;

use crate::support::{Aws, SETTLE, aws, aws_from, refused, refused_with};

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;
const EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
const DOCUMENT: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
const TRUST_ENCODED: &str = "%7B%22Version%22%3A%20%222012-10-17%22%2C";

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

async fn role(aws: &Aws, name: &str) -> aws_sdk_iam::types::Role {
    let made = aws.iam.create_role().role_name(name).assume_role_policy_document(TRUST);
    made.send().await.unwrap().role.unwrap()
}

#[tokio::test]
async fn a_role_says_what_it_was_given() {
    let aws = aws();
    let made = aws.iam.create_role().role_name("Tasks").path("/app/").assume_role_policy_document(TRUST);
    let made = made.description("for tasks").max_session_duration(7200).tags(tag("a", "b"));
    let made = made.send().await.unwrap().role.unwrap();
    assert_eq!(made.arn(), "arn:aws:iam::123456789012:role/app/Tasks");
    assert!(made.role_id().starts_with("AROA") && made.role_id().len() == 21, "{}", made.role_id());
    assert_eq!(made.tags(), [tag("a", "b")]);
    let role = aws.iam.get_role().role_name("Tasks").send().await.unwrap().role.unwrap();
    assert_eq!(
        (role.role_id(), role.description(), role.max_session_duration()),
        (made.role_id(), Some("for tasks"), Some(7200))
    );
    assert_eq!((role.tags(), role.create_date()), (made.tags(), made.create_date()));
    assert!(role.assume_role_policy_document().unwrap().starts_with(TRUST_ENCODED), "{role:?}");
    let listed = aws.iam.list_roles().path_prefix("/app/").send().await.unwrap();
    assert_eq!((listed.roles()[0].arn(), listed.roles()[0].tags()), (made.arn(), [].as_slice()));
    assert_eq!(aws.iam.list_roles().path_prefix("/other/").send().await.unwrap().roles(), []);
    let world = aws.sandbox.world().await;
    assert_eq!((world.total, world.of_kind("iam-role").next().unwrap().tags["a"].as_str()), (1, "b"));
}

#[tokio::test]
async fn a_name_is_one_in_any_case_and_an_id_is_never_used_twice() {
    let aws = aws();
    let first = role(&aws, "Tasks").await;
    let again = aws.iam.create_role().role_name("TASKS").assume_role_policy_document(TRUST).send().await;
    assert_eq!(refused_with(again, 409, "EntityAlreadyExists"), "Role with name TASKS already exists.");
    aws.iam.delete_role().role_name("Tasks").send().await.unwrap();
    let gone = aws.iam.get_role().role_name("Tasks").send().await;
    assert_eq!(refused_with(gone, 404, "NoSuchEntity"), "The role with name Tasks cannot be found.");
    refused_with(aws.iam.delete_role().role_name("Tasks").send().await, 404, "NoSuchEntity");
    assert_ne!(role(&aws, "Tasks").await.role_id(), first.role_id());
}

#[tokio::test]
async fn names_paths_and_durations_have_rules() {
    let aws = aws();
    let create = |name: &str| aws.iam.create_role().role_name(name).assume_role_policy_document(TRUST);
    for bad in ["a b", "a/b", "ä", &"x".repeat(65)] {
        refused(create(bad).send().await, "ValidationError");
    }
    for bad in ["app/", "/app", "", "/a b/"] {
        refused(create("a").path(bad).send().await, "ValidationError");
    }
    for bad in [3599, 43201, 0] {
        let message = refused(create("a").max_session_duration(bad).send().await, "ValidationError");
        assert!(message.contains("at 'maxSessionDuration' failed to satisfy constraint"), "{message}");
    }
    refused(create("a").description("x".repeat(1001)).send().await, "ValidationError");
    create("a+=,.@_-9").max_session_duration(43200).send().await.unwrap();
}

#[tokio::test]
async fn a_trust_policy_has_its_grammar_and_a_principal_exists() {
    let aws = aws();
    let create = |trust: &str| aws.iam.create_role().role_name("a").assume_role_policy_document(trust).send();
    let with_resource = TRUST.replace("\"Effect\"", "\"Resource\": \"*\", \"Effect\"");
    assert_eq!(refused(create(&with_resource).await, "MalformedPolicyDocument"), "Has prohibited field Resource");
    refused(create("{").await, "MalformedPolicyDocument");
    refused(create(&TRUST.replace("sts:", "s3:")).await, "MalformedPolicyDocument");
    let trusting =
        TRUST.replace("\"Service\": \"ecs-tasks.amazonaws.com\"", "\"AWS\": \"arn:aws:iam::123456789012:role/b\"");
    let message = refused(create(&trusting).await, "MalformedPolicyDocument");
    assert_eq!(message, "Invalid principal in policy: \"AWS\":\"arn:aws:iam::123456789012:role/b\"");
    role(&aws, "b").await;
    refused(create(&trusting).await, "MalformedPolicyDocument");
    aws.sandbox.clock().advance(SETTLE);
    create(&trusting).await.unwrap();
    let long = TRUST.replace("ecs-tasks", &"x".repeat(2048));
    let update = |trust: &str| aws.iam.update_assume_role_policy().role_name("a").policy_document(trust).send();
    refused_with(update(&long).await, 409, "LimitExceeded");
    refused(update(&with_resource).await, "MalformedPolicyDocument");
    update(TRUST).await.unwrap();
    let role = aws.iam.get_role().role_name("a").send().await.unwrap().role.unwrap();
    assert!(role.assume_role_policy_document().unwrap().contains("ecs-tasks.amazonaws.com"));
}

#[tokio::test]
async fn an_update_sets_the_session_back_and_keeps_the_description() {
    let aws = aws();
    let made = aws.iam.create_role().role_name("a").assume_role_policy_document(TRUST).description("old");
    made.max_session_duration(7200).send().await.unwrap();
    aws.iam.update_role().role_name("a").send().await.unwrap();
    let seen = async || {
        let role = aws.iam.get_role().role_name("a").send().await.unwrap().role.unwrap();
        (role.description.unwrap_or_default(), role.max_session_duration.unwrap())
    };
    assert_eq!(seen().await, ("old".to_owned(), 3600));
    aws.iam.update_role().role_name("a").description("new").max_session_duration(3601).send().await.unwrap();
    assert_eq!(seen().await, ("new".to_owned(), 3601));
    refused(aws.iam.update_role().role_name("a").max_session_duration(1).send().await, "ValidationError");
    refused_with(aws.iam.update_role().role_name("b").send().await, 404, "NoSuchEntity");
}

#[tokio::test]
async fn a_role_is_held_by_its_policies_and_profiles() {
    let aws = aws();
    role(&aws, "a").await;
    let delete = || aws.iam.delete_role().role_name("a").send();
    aws.iam.attach_role_policy().role_name("a").policy_arn(EXECUTION).send().await.unwrap();
    let held = refused_with(delete().await, 409, "DeleteConflict");
    assert_eq!(held, "Cannot delete entity, must detach all policies first.");
    aws.iam.detach_role_policy().role_name("a").policy_arn(EXECUTION).send().await.unwrap();

    aws.iam.put_role_policy().role_name("a").policy_name("p").policy_document(DOCUMENT).send().await.unwrap();
    let held = refused_with(delete().await, 409, "DeleteConflict");
    assert_eq!(held, "Cannot delete entity, must delete policies first.");
    aws.iam.delete_role_policy().role_name("a").policy_name("p").send().await.unwrap();

    aws.iam.create_instance_profile().instance_profile_name("i").send().await.unwrap();
    aws.iam.add_role_to_instance_profile().instance_profile_name("i").role_name("a").send().await.unwrap();
    let held = refused_with(delete().await, 409, "DeleteConflict");
    assert_eq!(held, "Cannot delete entity, must remove roles from instance profile first.");
    aws.iam.remove_role_from_instance_profile().instance_profile_name("i").role_name("a").send().await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn tags_of_a_role_ignore_the_case_of_keys() {
    let aws = aws();
    role(&aws, "a").await;
    aws.iam.tag_role().role_name("a").tags(tag("Team", "x")).tags(tag("b", "y")).send().await.unwrap();
    aws.iam.tag_role().role_name("a").tags(tag("team", "z")).send().await.unwrap();
    let tags = async || aws.iam.list_role_tags().role_name("a").send().await.unwrap().tags;
    assert_eq!(tags().await, [tag("b", "y"), tag("team", "z")]);
    let first = aws.iam.list_role_tags().role_name("a").max_items(1).send().await.unwrap();
    assert_eq!((first.tags(), first.is_truncated()), ([tag("b", "y")].as_slice(), true));
    aws.iam.untag_role().role_name("a").tag_keys("TEAM").tag_keys("none").send().await.unwrap();
    assert_eq!(tags().await, [tag("b", "y")]);
    let twice = aws.iam.tag_role().role_name("a").tags(tag("k", "1")).tags(tag("K", "2"));
    refused(twice.send().await, "InvalidInput");
    refused(aws.iam.tag_role().role_name("a").tags(tag("aws:k", "1")).send().await, "InvalidInput");
    refused(aws.iam.tag_role().role_name("a").tags(tag("a[1]", "1")).send().await, "ValidationError");
    let many = (0..50).map(|n| tag(&format!("k{n}"), "")).collect();
    refused_with(aws.iam.tag_role().role_name("a").set_tags(Some(many)).send().await, 409, "LimitExceeded");
    refused_with(aws.iam.tag_role().role_name("none").tags(tag("a", "")).send().await, 404, "NoSuchEntity");
}

#[tokio::test]
async fn policies_are_attached_once_and_ten_at_most() {
    let aws = aws();
    role(&aws, "a").await;
    let attach = |arn: &str| aws.iam.attach_role_policy().role_name("a").policy_arn(arn).send();
    attach(EXECUTION).await.unwrap();
    attach(EXECUTION).await.unwrap();
    let attached = aws.iam.list_attached_role_policies().role_name("a").send().await.unwrap();
    let attached: Vec<_> = attached.attached_policies().iter().map(|it| (it.policy_name(), it.policy_arn())).collect();
    assert_eq!(attached, [(Some("AmazonECSTaskExecutionRolePolicy"), Some(EXECUTION))]);
    for unknown in ["arn:aws:iam::aws:policy/NoSuchPolicy", "arn:aws:iam::123456789012:policy/none"] {
        let message = refused_with(attach(unknown).await, 404, "NoSuchEntity");
        assert_eq!(message, format!("Policy {unknown} does not exist or is not attachable."));
    }
    refused(attach("nonsense").await, "ValidationError");
    refused(attach("nonsense-of-twenty-letters").await, "InvalidInput");
    for n in 0..9 {
        let made = aws.iam.create_policy().policy_name(format!("p{n}")).policy_document(DOCUMENT).send().await.unwrap();
        attach(made.policy().unwrap().arn().unwrap()).await.unwrap();
    }
    let message = refused_with(attach("arn:aws:iam::aws:policy/ReadOnlyAccess").await, 409, "LimitExceeded");
    assert_eq!(message, "Cannot exceed quota for PoliciesPerRole: 10");
    attach(EXECUTION).await.unwrap();
    let first = aws.iam.list_attached_role_policies().role_name("a").max_items(9).send().await.unwrap();
    assert!(first.is_truncated());
    let rest = aws.iam.list_attached_role_policies().role_name("a").set_marker(first.marker).send().await.unwrap();
    assert_eq!((rest.attached_policies().len(), rest.is_truncated(), rest.marker()), (1, false, None));
    let detach = || aws.iam.detach_role_policy().role_name("a").policy_arn(EXECUTION).send();
    detach().await.unwrap();
    assert_eq!(refused_with(detach().await, 404, "NoSuchEntity"), format!("Policy {EXECUTION} was not found."));
    refused_with(aws.iam.list_attached_role_policies().role_name("b").send().await, 404, "NoSuchEntity");
}

#[tokio::test]
async fn inline_policies_are_put_read_and_deleted() {
    let aws = aws();
    role(&aws, "a").await;
    let put =
        |document: &str| aws.iam.put_role_policy().role_name("a").policy_name("p").policy_document(document).send();
    refused(put("{}").await, "MalformedPolicyDocument");
    let with_principal = DOCUMENT.replace("\"Effect\"", "\"Principal\": \"*\", \"Effect\"");
    let message = refused(put(&with_principal).await, "MalformedPolicyDocument");
    assert_eq!(message, "Policy document should not specify a principal.");
    put(DOCUMENT).await.unwrap();
    put(&DOCUMENT.replace("s3:*", "s3:Get*")).await.unwrap();
    let get = || aws.iam.get_role_policy().role_name("a").policy_name("p").send();
    let read = get().await.unwrap();
    assert!(read.policy_document().contains("%22s3%3AGet%2A%22") || read.policy_document().contains("%22s3%3AGet*%22"));
    assert_eq!(aws.iam.list_role_policies().role_name("a").send().await.unwrap().policy_names(), ["p"]);
    refused_with(put(&DOCUMENT.replace("s3:*", &format!("s3:{}", "x".repeat(10_240)))).await, 409, "LimitExceeded");
    let delete = || aws.iam.delete_role_policy().role_name("a").policy_name("p").send();
    delete().await.unwrap();
    let message = refused_with(delete().await, 404, "NoSuchEntity");
    assert_eq!(message, "The role policy with name p cannot be found.");
    refused_with(get().await, 404, "NoSuchEntity");
    let nowhere = aws.iam.put_role_policy().role_name("b").policy_name("p").policy_document(DOCUMENT);
    refused_with(nowhere.send().await, 404, "NoSuchEntity");
}

#[tokio::test]
async fn roles_come_in_pages() {
    let aws = aws();
    for name in ["a", "b", "c"] {
        role(&aws, name).await;
    }
    let first = aws.iam.list_roles().max_items(2).send().await.unwrap();
    assert_eq!((first.roles().len(), first.is_truncated()), (2, true));
    let last = aws.iam.list_roles().max_items(2).set_marker(first.marker).send().await.unwrap();
    assert_eq!((last.roles()[0].role_name(), last.roles().len(), last.is_truncated()), ("c", 1, false));
    refused(aws.iam.list_roles().marker("nonsense").send().await, "ValidationError");
    refused(aws.iam.list_roles().max_items(1001).send().await, "ValidationError");
}

#[tokio::test]
async fn an_instance_profile_has_one_role() {
    let aws = aws();
    role(&aws, "a").await;
    role(&aws, "b").await;
    let create = || aws.iam.create_instance_profile().instance_profile_name("i").tags(tag("k", "v")).send();
    let made = create().await.unwrap().instance_profile.unwrap();
    assert_eq!(made.arn(), "arn:aws:iam::123456789012:instance-profile/i");
    refused_with(create().await, 409, "EntityAlreadyExists");
    let add = |role: &str| aws.iam.add_role_to_instance_profile().instance_profile_name("i").role_name(role).send();
    refused_with(add("none").await, 404, "NoSuchEntity");
    add("a").await.unwrap();
    refused_with(add("b").await, 409, "LimitExceeded");
    let found = aws.iam.list_instance_profiles_for_role().role_name("a").send().await.unwrap();
    assert_eq!(found.instance_profiles()[0].roles()[0].role_name(), "a");
    let delete = || aws.iam.delete_instance_profile().instance_profile_name("i").send();
    refused_with(delete().await, 409, "DeleteConflict");
    let remove =
        |role: &str| aws.iam.remove_role_from_instance_profile().instance_profile_name("i").role_name(role).send();
    refused_with(remove("b").await, 404, "NoSuchEntity");
    remove("a").await.unwrap();
    delete().await.unwrap();
    refused_with(aws.iam.get_instance_profile().instance_profile_name("i").send().await, 404, "NoSuchEntity");
}

#[tokio::test]
async fn roles_of_services_are_changed_by_aws_only() {
    let aws = aws();
    let made = aws.iam.create_service_linked_role().aws_service_name("ecs.amazonaws.com").send().await.unwrap();
    let name = made.role.unwrap().role_name;
    refused(aws.iam.attach_role_policy().role_name(&name).policy_arn(EXECUTION).send().await, "UnmodifiableEntity");
    refused(aws.iam.delete_role().role_name(&name).send().await, "UnmodifiableEntity");
}

#[tokio::test]
async fn a_new_role_can_be_read_at_once_or_after_a_while() {
    let aws_now = aws();
    role(&aws_now, "a").await;
    aws_now.iam.get_role().role_name("a").send().await.unwrap();

    let aws = aws_from(Sandbox::builder().iam_lag(true));
    role(&aws, "a").await;
    refused_with(aws.iam.get_role().role_name("a").send().await, 404, "NoSuchEntity");
    assert_eq!(aws.iam.list_roles().send().await.unwrap().roles(), []);
    // It is there all the same.
    let again = aws.iam.create_role().role_name("a").assume_role_policy_document(TRUST).send().await;
    refused_with(again, 409, "EntityAlreadyExists");
    aws.sandbox.clock().advance(SETTLE);
    aws.iam.get_role().role_name("a").send().await.unwrap();
}

#[tokio::test]
async fn iam_is_the_same_in_all_regions_and_another_in_each_account() {
    let aws = aws();
    role(&aws, "a").await;
    let elsewhere = aws.from("AKIATEST", "eu-west-1");
    elsewhere.iam.get_role().role_name("a").send().await.unwrap();
    let other = aws.from("111122223333", "us-east-1");
    refused_with(other.iam.get_role().role_name("a").send().await, 404, "NoSuchEntity");
    let made = role(&other, "a").await;
    assert_eq!(made.arn(), "arn:aws:iam::111122223333:role/a");
}

#[tokio::test]
async fn a_snapshot_keeps_all_of_it() {
    let aws = aws();
    let made = aws.iam.create_role().role_name("a").path("/p/").assume_role_policy_document(TRUST).tags(tag("k", "v"));
    made.description("d").max_session_duration(4000).send().await.unwrap();
    aws.iam.attach_role_policy().role_name("a").policy_arn(EXECUTION).send().await.unwrap();
    aws.iam.put_role_policy().role_name("a").policy_name("p").policy_document(DOCUMENT).send().await.unwrap();
    aws.iam.create_instance_profile().instance_profile_name("i").send().await.unwrap();
    let (snapshot, before) = (aws.sandbox.snapshot().await, aws.sandbox.world().await);
    let role = aws.iam.get_role().role_name("a").send().await.unwrap().role;
    aws.sandbox.reset().await;
    assert_eq!(aws.sandbox.world().await.total, 0);
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(aws.sandbox.world().await, before);
    assert_eq!(aws.iam.get_role().role_name("a").send().await.unwrap().role, role);
}
