//! The same runbook on moto, an independent emulator: no test agrees only with our own rules.
//!
//! What moto 5.2 does not know of this part: it has no states that take time, does not refuse
//! `DeleteVpc` with groups in it, reads lag behind nothing, and it answers 500 to
//! `DescribeDBEngineVersions`, so the version is left to `CreateDBCluster` there. It keeps ECS clusters as
//! INACTIVE and an automatic snapshot of a cluster. Leftovers are counted by direct SDK calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aws_sdk_ecs::types::ClusterField;
use switchback_testing::moto::MotoServer;

use crate::colleague;
use crate::support::{ACCOUNT, Operator, Said, block_on, mistersmith};

/// Tags whose key and value are optional in the SDK.
macro_rules! tags {
    ($tags:expr) => {
        $tags.iter().map(|t| tag(t.key().unwrap_or_default(), t.value().unwrap_or_default())).collect()
    };
}

/// What there is of each kind, one text a resource.
pub type Everything = BTreeMap<&'static str, BTreeSet<String>>;

/// A moto of this test's own.
pub struct Moto(MotoServer);

impl std::ops::Deref for Moto {
    type Target = MotoServer;

    fn deref(&self) -> &MotoServer {
        &self.0
    }
}

impl Moto {
    /// `None`, said loudly, where there is no moto: `cargo xtask test` installs it.
    pub fn start() -> Option<Self> {
        let server = std::env::var_os("SWITCHBACK_MOTO_SERVER").map(PathBuf::from);
        let Some(server) = server else {
            assert!(std::env::var_os("CI").is_none(), "CI must run `cargo xtask test`, which installs moto");
            eprintln!("NOT TESTED on moto: run `cargo xtask test`, which installs it");
            return None;
        };
        let moto = Self(MotoServer::start(&server, ACCOUNT).expect("moto comes up"));
        moto.reset();
        Some(moto)
    }

    /// Nothing is left of what was done.
    pub fn reset(&self) {
        self.0.reset().expect("moto is reset");
    }

    /// What there is of each kind, by id and tags.
    pub fn everything(&self) -> Everything {
        everything(&self.endpoint)
    }
}

/// What there is of each kind at that endpoint, by id and tags.
pub fn everything(at: &str) -> Everything {
    let (ec2, iam, rds) = (colleague::ec2(at), colleague::iam(at), colleague::rds(at));
    let (ecs, ecr, logs) = (colleague::ecs(at), colleague::ecr(at), colleague::logs(at));
    let local = aws_sdk_iam::types::PolicyScopeType::Local;
    block_on(async {
        let mut all = Everything::new();
        let mut add = |kind: &'static str, id: Option<&str>, tags: Vec<String>| {
            let line = BTreeSet::from_iter(tags).into_iter().collect::<Vec<_>>().join(" ");
            all.entry(kind).or_default().insert(format!("{} {line}", id.unwrap_or_default()));
        };
        for it in ec2.describe_vpcs().send().await.expect("vpcs").vpcs() {
            add("vpc", it.vpc_id(), tags!(it.tags()));
        }
        for it in ec2.describe_subnets().send().await.expect("subnets").subnets() {
            add("subnet", it.subnet_id(), tags!(it.tags()));
        }
        for it in ec2.describe_internet_gateways().send().await.expect("gateways").internet_gateways() {
            add("internet gateway", it.internet_gateway_id(), tags!(it.tags()));
            for held in it.attachments() {
                add("attachment", it.internet_gateway_id().zip(held.vpc_id()).map(both).as_deref(), vec![]);
            }
        }
        for it in ec2.describe_security_groups().send().await.expect("groups").security_groups() {
            add("group", it.group_id(), tags!(it.tags()));
        }
        for it in ec2.describe_security_group_rules().send().await.expect("rules").security_group_rules() {
            add("rule", it.security_group_rule_id(), tags!(it.tags()));
        }
        for it in ec2.describe_route_tables().send().await.expect("tables").route_tables() {
            add("route table", it.route_table_id(), tags!(it.tags()));
            for held in it.associations().iter().filter(|held| held.subnet_id().is_some()) {
                add("association", held.route_table_association_id(), vec![]);
            }
        }
        let endpoints = ec2.describe_vpc_endpoints().send().await.expect("endpoints");
        let is_gone = |state: Option<&aws_sdk_ec2::types::State>| {
            state.is_some_and(|s| s.as_str().eq_ignore_ascii_case("deleted"))
        };
        for it in endpoints.vpc_endpoints().iter().filter(|e| !is_gone(e.state())) {
            add("endpoint", it.vpc_endpoint_id(), tags!(it.tags()));
        }
        for it in iam.list_roles().send().await.expect("roles").roles() {
            let name = it.role_name();
            let tags = iam.list_role_tags().role_name(name).send().await.expect("tags");
            add("role", Some(name), tags.tags().iter().map(|t| tag(t.key(), t.value())).collect());
            let attached = iam.list_attached_role_policies().role_name(name).send().await.expect("attached");
            for held in attached.attached_policies() {
                add("attached policy", held.policy_arn().map(|arn| both((name, arn))).as_deref(), vec![]);
            }
            let inline = iam.list_role_policies().role_name(name).send().await.expect("inline");
            for held in inline.policy_names() {
                add("inline policy", Some(&both((name, held))), vec![]);
            }
        }
        for it in iam.list_policies().scope(local).send().await.expect("policies").policies() {
            let tags = iam.list_policy_tags().set_policy_arn(it.arn.clone()).send().await.expect("tags");
            add("policy", it.arn(), tags.tags().iter().map(|t| tag(t.key(), t.value())).collect());
        }
        for it in rds.describe_db_subnet_groups().send().await.expect("subnet groups").db_subnet_groups() {
            let arn = it.db_subnet_group_arn();
            let tags = rds.list_tags_for_resource().set_resource_name(arn.map(str::to_owned)).send().await;
            add("subnet group", arn, tags!(tags.expect("tags").tag_list()));
        }
        for it in rds.describe_db_clusters().send().await.expect("clusters").db_clusters() {
            add("db cluster", it.db_cluster_arn(), tags!(it.tag_list()));
        }
        for it in rds.describe_db_instances().send().await.expect("instances").db_instances() {
            add("db instance", it.db_instance_arn(), tags!(it.tag_list()));
        }
        let clusters = ecs.list_clusters().send().await.expect("clusters");
        let clusters = ecs.describe_clusters().set_clusters(clusters.cluster_arns).include(ClusterField::Tags);
        let clusters = clusters.send().await.expect("clusters");
        for it in clusters.clusters().iter().filter(|c| c.status() == Some("ACTIVE")) {
            add("ecs cluster", it.cluster_arn(), tags!(it.tags()));
        }
        for it in ecr.describe_repositories().send().await.expect("repositories").repositories() {
            let arn = it.repository_arn();
            let tags = ecr.list_tags_for_resource().set_resource_arn(arn.map(str::to_owned)).send().await;
            add("repository", arn, tags.expect("tags").tags().iter().map(|t| tag(t.key(), t.value())).collect());
        }
        for it in logs.describe_log_groups().send().await.expect("log groups").log_groups() {
            let arn = it.arn().map(|arn| arn.trim_end_matches(":*"));
            let tags = logs.list_tags_for_resource().set_resource_arn(arn.map(str::to_owned)).send().await;
            let tags = tags.expect("tags").tags.unwrap_or_default();
            add("log group", arn, tags.iter().map(|(key, value)| tag(key, value)).collect());
        }
        all
    })
}

fn tag(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

fn both((a, b): (&str, &str)) -> String {
    format!("{a} {b}")
}

/// How many more there are now of each kind.
pub fn more(before: &Everything, now: &Everything) -> BTreeMap<&'static str, usize> {
    let count = |all: &Everything, kind: &str| all.get(kind).map_or(0, BTreeSet::len);
    now.keys()
        .map(|kind| (*kind, count(now, kind).saturating_sub(count(before, kind))))
        .filter(|(_, n)| *n > 0)
        .collect()
}

/// What the runbook makes.
pub const MADE: [(&str, usize); 18] = [
    ("association", 2),
    ("attached policy", 2),
    ("attachment", 1),
    ("db cluster", 1),
    ("db instance", 1),
    ("ecs cluster", 1),
    ("endpoint", 8),
    // A VPC comes with a group and a table of its own.
    ("group", 4),
    ("inline policy", 1),
    ("internet gateway", 1),
    ("log group", 1),
    ("policy", 1),
    ("repository", 3),
    ("role", 2),
    ("route table", 2),
    ("subnet", 2),
    ("subnet group", 1),
    ("vpc", 1),
];

/// Runs a command with credentials that moto takes.
pub fn on_moto(operator: &Operator, args: &[&str]) -> Said {
    let mut command = operator.command(args);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    Said::new(command.output().expect("switchback starts"))
}

#[test]
fn forward_verified_and_back_to_nothing() {
    let Some(moto) = Moto::start() else { return };
    let operator = Operator::alone();
    let before = moto.everything();
    let path = mistersmith();
    let account = format!("account={ACCOUNT}");
    let endpoint = ["--endpoint-url", &moto.endpoint];
    let apply = ["apply", &path.to_string_lossy(), "--auto-approve", "--input", &account, endpoint[0], endpoint[1]];
    on_moto(&operator, &apply).exits(0);
    let made = moto.everything();
    let mut new = more(&before, &made);
    // How many it holds as rules, its own default ones too, is moto's business.
    new.remove("rule");
    assert_eq!(new, BTreeMap::from(MADE), "{before:?} -> {made:?}");
    on_moto(&operator, &["verify"]).exits(0);
    on_moto(&operator, &["unwind", "--to", "vpc", "--auto-approve"]).exits(0);
    on_moto(&operator, &["resume"]).exits(0);
    assert_eq!(more(&before, &moto.everything()), more(&before, &made), "the next generation is equal to the first");
    on_moto(&operator, &["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(moto.everything(), before, "nothing is left");
}
