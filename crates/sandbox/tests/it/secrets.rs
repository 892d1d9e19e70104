//! Secrets Manager.

use std::time::Duration;

use aws_sdk_secretsmanager::operation::create_secret::builders::CreateSecretFluentBuilder;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, Tag};

use crate::support::{Aws, SETTLE, aws, refused};

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";
const THREE: &str = "33333333-3333-4333-8333-333333333333";
const DAY: Duration = Duration::from_secs(86_400);

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn create(aws: &Aws, name: &str) -> CreateSecretFluentBuilder {
    aws.secrets.create_secret().name(name).client_request_token(ONE).secret_string("first")
}

async fn put(aws: &Aws, token: &str, value: &str) {
    let put = aws.secrets.put_secret_value().secret_id("db").client_request_token(token).secret_string(value);
    put.send().await.unwrap();
}

/// The id of the version with a label.
async fn staged(aws: &Aws, stage: &str) -> Option<String> {
    let seen = aws.secrets.get_secret_value().secret_id("db").version_stage(stage).send().await;
    seen.ok().and_then(|seen| seen.version_id)
}

#[tokio::test]
async fn a_secret_is_made_and_read() {
    let aws = aws();
    let made = create(&aws, "app/db").description("the database").kms_key_id("alias/app").tags(tag("a", "b"));
    let made = made.send().await.unwrap();
    let arn = made.arn().unwrap();
    let (start, suffix) = arn.rsplit_once('-').unwrap();
    assert_eq!((start, suffix.len()), ("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db", 6));
    assert_eq!(made.version_id(), Some(ONE));
    for id in ["app/db", arn, start] {
        let read = aws.secrets.get_secret_value().secret_id(id).send().await.unwrap();
        assert_eq!(
            (read.secret_string(), read.version_id(), read.version_stages()),
            (Some("first"), Some(ONE), ["AWSCURRENT".to_owned()].as_slice())
        );
    }
    let seen = aws.secrets.describe_secret().secret_id("app/db").send().await.unwrap();
    assert_eq!((seen.description(), seen.kms_key_id()), (Some("the database"), Some("alias/app")));
    assert_eq!(seen.tags(), [tag("a", "b")]);
    assert_eq!(seen.version_ids_to_stages().unwrap()[ONE], ["AWSCURRENT"]);
    let missing = aws.secrets.get_secret_value().secret_id("none").send().await;
    assert_eq!(refused(missing, "ResourceNotFoundException"), "Secrets Manager can't find the specified secret.");
}

#[tokio::test]
async fn bytes_are_kept_as_they_are() {
    let aws = aws();
    let made = aws.secrets.create_secret().name("key").secret_binary(Blob::new([0, 255, 7]));
    made.send().await.unwrap();
    let read = aws.secrets.get_secret_value().secret_id("key").send().await.unwrap();
    assert_eq!((read.secret_binary(), read.secret_string()), (Some(&Blob::new([0, 255, 7])), None));
}

#[tokio::test]
async fn a_secret_can_have_no_value_yet() {
    let aws = aws();
    let made = aws.secrets.create_secret().name("db").send().await.unwrap();
    assert_eq!(made.version_id(), None);
    let message = refused(aws.secrets.get_secret_value().secret_id("db").send().await, "ResourceNotFoundException");
    assert_eq!(message, "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT");
    // The first version is the current one, whatever is asked for.
    let first = aws.secrets.put_secret_value().secret_id("db").secret_string("x").version_stages("mine").send().await;
    assert_eq!(first.unwrap().version_stages(), ["AWSCURRENT", "mine"]);
}

#[tokio::test]
async fn a_token_makes_one_version() {
    let aws = aws();
    let made = create(&aws, "db").send().await.unwrap();
    let again = create(&aws, "db").send().await.unwrap();
    assert_eq!((again.arn(), again.version_id()), (made.arn(), Some(ONE)));
    let other_value = create(&aws, "db").secret_string("other").send().await;
    let message = refused(other_value, "ResourceExistsException");
    assert_eq!(message, "The operation failed because the secret db already exists.");
    let other_token = create(&aws, "db").client_request_token(TWO).send().await;
    refused(other_token, "ResourceExistsException");
    refused(create(&aws, "x").client_request_token("short").send().await, "InvalidParameterException");

    put(&aws, TWO, "second").await;
    put(&aws, TWO, "second").await;
    let clash = aws.secrets.put_secret_value().secret_id("db").client_request_token(TWO).secret_string("third");
    let message = refused(clash.send().await, "ResourceExistsException");
    assert!(!message.contains("third") && message.contains(TWO), "{message}");
    let versions = aws.secrets.list_secret_version_ids().secret_id("db").send().await.unwrap();
    assert_eq!(versions.versions().len(), 2);
}

#[tokio::test]
async fn what_is_given_is_checked() {
    let aws = aws();
    for bad in ["a b", "a:b", &"x".repeat(513)] {
        refused(create(&aws, bad).send().await, "ValidationException");
    }
    refused(create(&aws, "a").secret_binary(Blob::new([1])).send().await, "InvalidParameterException");
    refused(create(&aws, "a").secret_string("x".repeat(65_537)).send().await, "InvalidParameterException");
    refused(create(&aws, "a").secret_string("").send().await, "InvalidParameterException");
    refused(create(&aws, "a").tags(tag("aws:x", "")).send().await, "InvalidParameterException");
    refused(create(&aws, "a").description("x".repeat(2049)).send().await, "InvalidParameterException");
    create(&aws, "db").send().await.unwrap();
    let nothing = aws.secrets.put_secret_value().secret_id("db").send().await;
    refused(nothing, "InvalidRequestException");
    let nowhere = aws.secrets.put_secret_value().secret_id("none").secret_string("x").send().await;
    refused(nowhere, "ResourceNotFoundException");
}

#[tokio::test]
async fn labels_move_from_version_to_version() {
    let aws = aws();
    create(&aws, "db").send().await.unwrap();
    put(&aws, TWO, "second").await;
    assert_eq!(staged(&aws, "AWSCURRENT").await.as_deref(), Some(TWO));
    assert_eq!(staged(&aws, "AWSPREVIOUS").await.as_deref(), Some(ONE));
    put(&aws, THREE, "third").await;
    assert_eq!(staged(&aws, "AWSPREVIOUS").await.as_deref(), Some(TWO));
    // The first one has no label any more, and is still there.
    let get = |id: &str| aws.secrets.get_secret_value().secret_id("db").version_id(id);
    assert_eq!(get(ONE).send().await.unwrap().secret_string(), Some("first"));
    let message = refused(get("none").send().await, "ResourceNotFoundException");
    assert_eq!(message, "Secrets Manager can't find the specified secret value for VersionId: none");
    refused(get(ONE).version_stage("AWSCURRENT").send().await, "InvalidRequestException");
    let labelled = aws.secrets.list_secret_version_ids().secret_id("db").send().await.unwrap();
    assert_eq!(labelled.versions().len(), 2);
    let all = aws.secrets.list_secret_version_ids().secret_id("db").include_deprecated(true).send().await.unwrap();
    assert_eq!(all.versions().len(), 3);
    let own = aws.secrets.put_secret_value().secret_id("db").secret_string("x").version_stages("mine").send().await;
    assert_eq!(own.unwrap().version_stages(), ["mine"]);
    assert_eq!(staged(&aws, "AWSCURRENT").await.as_deref(), Some(THREE));
}

#[tokio::test]
async fn the_current_label_is_moved_back() {
    let aws = aws();
    create(&aws, "db").send().await.unwrap();
    put(&aws, TWO, "second").await;
    let current = || aws.secrets.update_secret_version_stage().secret_id("db").version_stage("AWSCURRENT");
    let message = refused(current().move_to_version_id(ONE).send().await, "InvalidParameterException");
    assert_eq!(
        message,
        format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to \
             version {TWO}, so you must explicitly reference that version in RemoveFromVersionId."
        )
    );
    let wrong = current().move_to_version_id(ONE).remove_from_version_id(ONE);
    refused(wrong.send().await, "InvalidParameterException");
    let none = current().remove_from_version_id(TWO);
    assert!(refused(none.send().await, "InvalidParameterException").contains("can't be completely removed"));
    let unknown = current().move_to_version_id(THREE).remove_from_version_id(TWO);
    refused(unknown.send().await, "InvalidParameterException");
    current().move_to_version_id(ONE).remove_from_version_id(TWO).send().await.unwrap();
    assert_eq!(staged(&aws, "AWSCURRENT").await.as_deref(), Some(ONE));
    assert_eq!(staged(&aws, "AWSPREVIOUS").await.as_deref(), Some(TWO));
    let mine = || aws.secrets.update_secret_version_stage().secret_id("db").version_stage("mine");
    mine().move_to_version_id(TWO).send().await.unwrap();
    assert_eq!(staged(&aws, "mine").await.as_deref(), Some(TWO));
    mine().remove_from_version_id(TWO).send().await.unwrap();
    assert_eq!(staged(&aws, "mine").await, None);
}

#[tokio::test]
async fn an_update_can_bring_a_value() {
    let aws = aws();
    create(&aws, "db").send().await.unwrap();
    let quiet = aws.secrets.update_secret().secret_id("db").description("new").kms_key_id("alias/b");
    assert_eq!(quiet.send().await.unwrap().version_id(), None);
    let seen = aws.secrets.describe_secret().secret_id("db").send().await.unwrap();
    assert_eq!((seen.description(), seen.kms_key_id()), (Some("new"), Some("alias/b")));
    let loud = aws.secrets.update_secret().secret_id("db").client_request_token(TWO).secret_string("second");
    assert_eq!(loud.send().await.unwrap().version_id(), Some(TWO));
    assert_eq!(staged(&aws, "AWSPREVIOUS").await.as_deref(), Some(ONE));
}

#[tokio::test]
async fn a_deletion_waits_and_can_be_taken_back() {
    let aws = aws();
    create(&aws, "db").send().await.unwrap();
    let delete = || aws.secrets.delete_secret().secret_id("db");
    for bad in [6, 31] {
        let message = refused(delete().recovery_window_in_days(bad).send().await, "InvalidParameterException");
        assert_eq!(message, "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).");
    }
    let both = delete().recovery_window_in_days(7).force_delete_without_recovery(true);
    refused(both.send().await, "InvalidParameterException");
    refused(aws.secrets.delete_secret().secret_id("none").send().await, "ResourceNotFoundException");
    let deleted = delete().recovery_window_in_days(7).send().await.unwrap();
    let seen = aws.secrets.describe_secret().secret_id("db").send().await.unwrap();
    assert_eq!(seen.deleted_date(), deleted.deletion_date());
    let waits = deleted.deletion_date().unwrap().secs() - seen.created_date().unwrap().secs();
    assert_eq!(waits, 7 * 86_400);

    let message = refused(aws.secrets.get_secret_value().secret_id("db").send().await, "InvalidRequestException");
    assert!(message.ends_with("because it was marked for deletion."), "{message}");
    let put = aws.secrets.put_secret_value().secret_id("db").secret_string("x").send().await;
    refused(put, "InvalidRequestException");
    refused(aws.secrets.tag_resource().secret_id("db").tags(tag("a", "b")).send().await, "InvalidRequestException");
    refused(delete().send().await, "InvalidRequestException");
    let message = refused(create(&aws, "db").send().await, "InvalidRequestException");
    assert!(message.ends_with("a secret with this name is already scheduled for deletion."), "{message}");
    assert_eq!(aws.secrets.list_secrets().send().await.unwrap().secret_list(), []);
    let all = aws.secrets.list_secrets().include_planned_deletion(true).send().await.unwrap();
    assert_eq!(all.secret_list().len(), 1);
    let world = aws.sandbox.world().await;
    assert_eq!((world.total, world.residue.len()), (0, 1));

    aws.secrets.restore_secret().secret_id("db").send().await.unwrap();
    aws.secrets.restore_secret().secret_id("db").send().await.unwrap();
    aws.sandbox.clock().advance(8 * DAY);
    let read = aws.secrets.get_secret_value().secret_id("db").send().await.unwrap();
    assert_eq!(read.secret_string(), Some("first"));
    refused(aws.secrets.restore_secret().secret_id("none").send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_secret_is_gone_when_its_window_is_over() {
    let aws = aws();
    let first = create(&aws, "db").send().await.unwrap();
    aws.secrets.delete_secret().secret_id("db").send().await.unwrap();
    aws.sandbox.clock().advance(30 * DAY - Duration::from_secs(1));
    aws.secrets.describe_secret().secret_id("db").send().await.unwrap();
    aws.sandbox.clock().advance(Duration::from_secs(1));
    refused(aws.secrets.describe_secret().secret_id("db").send().await, "ResourceNotFoundException");
    let second = create(&aws, "db").send().await.unwrap();
    assert_ne!(first.arn(), second.arn());
}

#[tokio::test]
async fn a_forced_deletion_keeps_the_name_for_a_moment() {
    let aws = aws();
    create(&aws, "db").send().await.unwrap();
    let force = || aws.secrets.delete_secret().secret_id("db").force_delete_without_recovery(true);
    force().send().await.unwrap();
    refused(aws.secrets.describe_secret().secret_id("db").send().await, "ResourceNotFoundException");
    assert_eq!(force().send().await.unwrap().name(), Some("db"));
    refused(create(&aws, "db").send().await, "InvalidRequestException");
    aws.sandbox.clock().advance(SETTLE);
    create(&aws, "db").send().await.unwrap();
    // Also of one that waits for its deletion.
    aws.secrets.delete_secret().secret_id("db").send().await.unwrap();
    force().send().await.unwrap();
    assert_eq!(aws.sandbox.world().await.residue, []);
}

#[tokio::test]
async fn tags_are_set_and_taken() {
    let aws = aws();
    create(&aws, "db").tags(tag("a", "1")).send().await.unwrap();
    aws.secrets.tag_resource().secret_id("db").tags(tag("a", "2")).tags(tag("b", "3")).send().await.unwrap();
    aws.secrets.untag_resource().secret_id("db").tag_keys("b").tag_keys("none").send().await.unwrap();
    let seen = aws.secrets.describe_secret().secret_id("db").send().await.unwrap();
    assert_eq!(seen.tags(), [tag("a", "2")]);
    let many = (0..50).map(|n| tag(&format!("k{n}"), "")).collect();
    let many = aws.secrets.tag_resource().secret_id("db").set_tags(Some(many)).send().await;
    refused(many, "InvalidParameterException");
}

#[tokio::test]
async fn secrets_are_listed_by_filter_and_in_pages() {
    let aws = aws();
    for (name, team) in [("app/a", "x"), ("app/b", "y"), ("other", "x")] {
        create(&aws, name).tags(tag("team", team)).send().await.unwrap();
    }
    let names = async |key, value: &str| {
        let filter = Filter::builder().key(key).values(value).build();
        let found = aws.secrets.list_secrets().filters(filter).send().await.unwrap();
        found.secret_list().iter().filter_map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(FilterNameStringType::Name, "app/").await, ["app/a", "app/b"]);
    assert_eq!(names(FilterNameStringType::Name, "!app/").await, ["other"]);
    assert_eq!(names(FilterNameStringType::TagValue, "x").await, ["app/a", "other"]);
    let first = aws.secrets.list_secrets().max_results(2).send().await.unwrap();
    assert_eq!(first.secret_list().len(), 2);
    let last = aws.secrets.list_secrets().max_results(2).set_next_token(first.next_token).send().await.unwrap();
    assert_eq!((last.secret_list().len(), last.next_token()), (1, None));
    refused(aws.secrets.list_secrets().next_token("x").send().await, "InvalidNextTokenException");
}

#[tokio::test]
async fn a_snapshot_keeps_values_labels_and_windows() {
    let aws = aws();
    create(&aws, "db").kms_key_id("alias/a").send().await.unwrap();
    put(&aws, TWO, "second").await;
    create(&aws, "old").send().await.unwrap();
    aws.secrets.delete_secret().secret_id("old").recovery_window_in_days(7).send().await.unwrap();
    let (snapshot, before) = (aws.sandbox.snapshot().await, aws.sandbox.world().await);
    aws.sandbox.reset().await;
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(aws.sandbox.world().await, before);
    assert_eq!(staged(&aws, "AWSPREVIOUS").await.as_deref(), Some(ONE));
    aws.sandbox.clock().advance(7 * DAY);
    assert_eq!(aws.sandbox.world().await.residue, []);
}

#[tokio::test]
async fn values_are_in_no_report_and_no_log() {
    let aws = aws();
    create(&aws, "db").secret_string("hunter2-value").send().await.unwrap();
    put(&aws, TWO, "hunter3-value").await;
    aws.secrets.get_secret_value().secret_id("db").send().await.unwrap();
    let world = serde_json::to_string(&aws.sandbox.world().await).unwrap();
    let calls = format!("{:?}", aws.sandbox.faults().calls());
    let debug = format!("{:?}", aws.sandbox.snapshot().await);
    for text in [world, calls, debug] {
        assert!(!text.contains("hunter") && !text.is_empty());
    }
}
