//! Accounts and regions: what each of them holds, and who a caller is.

use aws_credential_types::Credentials;
use switchback_sandbox::{Effect, Fault, Sandbox};

use crate::support::{Aws, SETTLE, aws, aws_from, refused, refused_with};

const OTHER: &str = "111122223333";
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}"#;

async fn role(aws: &Aws, name: &str) -> String {
    let made = aws.iam.create_role().role_name(name).assume_role_policy_document(TRUST).send().await.unwrap();
    made.role.unwrap().arn
}

#[tokio::test]
async fn regions_and_accounts_do_not_see_each_other() {
    let aws = aws();
    let (region, account) = (aws.from("AKIATEST", "eu-west-1"), aws.from(OTHER, "us-east-1"));
    let vpc = aws.vpc().await;
    assert!(region.ec2.describe_vpcs().send().await.unwrap().vpcs().is_empty());
    refused(account.ec2.describe_vpcs().vpc_ids(&vpc).send().await, "InvalidVpcID.NotFound");
    let (there, theirs) = (region.vpc().await, account.vpc().await);
    assert!(vpc != there && vpc != theirs && there != theirs);
    let found = account.ec2.describe_vpcs().send().await.unwrap();
    assert_eq!(found.vpcs()[0].owner_id(), Some(OTHER));
    let zones = region.ec2.describe_availability_zones().send().await.unwrap();
    assert_eq!(zones.availability_zones()[0].zone_name(), Some("eu-west-1a"));

    // The report says where, where it is not the sandbox's own place.
    let world = aws.sandbox.world().await;
    assert_eq!(world.counts["vpc"], 3);
    assert_eq!((&world.get(&vpc).unwrap().account, &world.get(&vpc).unwrap().region), (&None, &None));
    assert_eq!(world.get(&there).unwrap().region.as_deref(), Some("eu-west-1"));
    assert_eq!(world.get(&theirs).unwrap().account.as_deref(), Some(OTHER));
}

#[tokio::test]
async fn an_account_has_one_iam() {
    let aws = aws();
    let arn = role(&aws, "app").await;
    assert_eq!(arn, "arn:aws:iam::123456789012:role/app");
    aws.from("AKIATEST", "eu-west-1").iam.get_role().role_name("app").send().await.unwrap();
    let other = aws.from(OTHER, "us-east-1");
    refused_with(other.iam.get_role().role_name("app").send().await, 404, "NoSuchEntity");
    assert_eq!(role(&other, "app").await, "arn:aws:iam::111122223333:role/app");
    assert_eq!(aws.sandbox.world().await.counts["iam-role"], 2);
}

#[tokio::test]
async fn documents_keep_the_accounts_that_they_name() {
    let aws = aws().from(OTHER, "us-east-1");
    role(&aws, "app").await;
    let read = aws.iam.get_role().role_name("app").send().await.unwrap().role.unwrap();
    assert!(read.assume_role_policy_document().unwrap().contains("123456789012"));
    let world = aws.sandbox.world().await;
    let held = world.get("arn:aws:iam::111122223333:role/app").unwrap();
    assert_eq!(held.attributes["trust"], TRUST);
}

#[tokio::test]
async fn every_region_that_there_is_not_is_refused() {
    let aws = aws().from("AKIATEST", "xx-bad-1");
    refused_with(aws.ec2.describe_vpcs().send().await, 401, "AuthFailure");
    refused_with(aws.rds.describe_db_clusters().send().await, 403, "SignatureDoesNotMatch");
    refused(aws.ecs.list_clusters().send().await, "InvalidSignatureException");
    let own = aws_from(Sandbox::builder().region("xx-bad-1")).from("AKIATEST", "xx-bad-1");
    own.ec2.describe_vpcs().send().await.unwrap();
}

#[tokio::test]
async fn a_role_is_assumed_once_it_is_known() {
    let aws = aws();
    let other = aws.from(OTHER, "eu-west-1");
    let arn = role(&other, "deploy").await;
    let assume = || aws.sts.assume_role().role_arn(&arn).role_session_name("me").send();
    refused_with(assume().await, 403, "AccessDenied");
    aws.sandbox.clock().advance(SETTLE);
    let keys = assume().await.unwrap().credentials.unwrap();
    let token = Some(keys.session_token);
    let assumed = Credentials::new(keys.access_key_id, keys.secret_access_key, token, None, "test");
    let assumed = Aws::of(aws.sandbox.clone(), assumed, "us-east-1");
    let who = assumed.sts.get_caller_identity().send().await.unwrap();
    assert_eq!(who.account(), Some(OTHER));
    assert_eq!(who.arn(), Some("arn:aws:sts::111122223333:assumed-role/deploy/me"));
    let vpc = assumed.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap().vpc.unwrap();
    assert_eq!(vpc.owner_id(), Some(OTHER));
    let nobody = aws.sts.assume_role().role_arn("arn:aws:iam::111122223333:role/nobody").role_session_name("me");
    refused_with(nobody.send().await, 403, "AccessDenied");
}

#[tokio::test]
async fn a_snapshot_holds_every_place_and_service() {
    let aws = aws();
    let other = aws.from(OTHER, "eu-west-1");
    aws.vpc().await;
    let clean = aws.sandbox.snapshot().await;
    let clean_world = aws.sandbox.world().await;
    other.vpc().await;
    role(&other, "app").await;
    other.ecs.create_cluster().cluster_name("main").send().await.unwrap();
    other.ecr.create_repository().repository_name("app").send().await.unwrap();
    other.logs.create_log_group().log_group_name("/app").send().await.unwrap();
    other.kms.create_key().send().await.unwrap();
    other.secrets.create_secret().name("db").secret_string("x").send().await.unwrap();
    let group = other.rds.create_db_cluster_parameter_group().db_cluster_parameter_group_name("pg");
    group.db_parameter_group_family("aurora-postgresql16").description("x").send().await.unwrap();
    let full_world = aws.sandbox.world().await;
    let full = aws.sandbox.snapshot().await;
    let kinds = [
        "vpc",
        "iam-role",
        "ecs-cluster",
        "ecr-repository",
        "log-group",
        "kms-key",
        "secret",
        "db-cluster-parameter-group",
    ];
    assert!(kinds.iter().all(|kind| full_world.counts.contains_key(*kind)), "{:?}", full_world.counts);
    for there in full_world.resources.iter().filter(|it| it.id.starts_with("arn:")) {
        assert!(there.id.contains(OTHER), "{}", there.id);
    }

    aws.sandbox.restore(&clean).await;
    assert_eq!(aws.sandbox.world().await, clean_world);
    aws.sandbox.restore(&full).await;
    assert_eq!(aws.sandbox.world().await, full_world);
    // Also into one that was never called.
    let fresh = Sandbox::builder().build();
    fresh.restore(&full).await;
    assert_eq!(fresh.world().await, full_world);
    aws.sandbox.reset().await;
    assert_eq!(aws.sandbox.world().await.resources, []);
    assert!(other.ecs.list_clusters().send().await.unwrap().cluster_arns().is_empty());
}

#[tokio::test]
async fn a_lagging_read_knows_no_new_place() {
    let aws = aws();
    let other = aws.from(OTHER, "eu-west-1");
    other.vpc().await;
    aws.sandbox.faults().add(Fault::new("DescribeVpcs", Effect::Lag { ms: 100 }).times(0));
    assert!(other.ec2.describe_vpcs().send().await.unwrap().vpcs().is_empty());
}

#[tokio::test]
async fn what_was_deleted_and_is_still_shown_is_residue() {
    let aws = aws();
    let key = aws.kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let (id, arn) = (key.key_id(), key.arn().unwrap());
    assert_eq!(aws.sandbox.world().await.counts["kms-key"], 1);
    aws.kms.schedule_key_deletion().key_id(id).pending_window_in_days(7).send().await.unwrap();
    let world = aws.sandbox.world().await;
    assert_eq!((world.total, world.get(arn)), (0, None));
    assert_eq!((world.residue.len(), world.residue[0].kind.as_str()), (1, "kms-key"));
    assert_eq!(world.residue[0].id, arn);
}
