//! The same runbook on moto, an independent emulator: no test agrees only with our own rules.
//!
//! What moto 5.2 does not know of this part: it has no states that take time, does not refuse
//! `DeleteVpc` with groups in it, reads lag behind nothing, and it answers 500 to
//! `DescribeDBEngineVersions`, so the version is left to `CreateDBCluster` there. It keeps ECS clusters as
//! INACTIVE and an automatic snapshot of a cluster. Leftovers are counted by direct SDK calls.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::colleague;
use crate::support::{ACCOUNT, Operator, Said, block_on, http, mistersmith, pause};

struct Moto {
    child: Child,
    endpoint: String,
}

impl Moto {
    /// `None`, said loudly, where there is no moto: `cargo xtask test` installs it.
    fn start() -> Option<Self> {
        let server = std::env::var_os("SWITCHBACK_MOTO_SERVER").map(PathBuf::from);
        let Some(server) = server else {
            assert!(std::env::var_os("CI").is_none(), "CI must run `cargo xtask test`, which installs moto");
            eprintln!("NOT TESTED on moto: run `cargo xtask test`, which installs it");
            return None;
        };
        // A free port, for as long as nobody else takes it.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let child = Command::new(server)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_ACCOUNT_ID", ACCOUNT)
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "moto does not come up");
            pause(50);
        }
        http(&moto.endpoint, "POST", "/moto-api/reset", "");
        Some(moto)
    }

    /// How many there are of each kind.
    fn count(&self) -> BTreeMap<&'static str, usize> {
        let at = self.endpoint.as_str();
        let (ec2, iam, rds) = (colleague::ec2(at), colleague::iam(at), colleague::rds(at));
        let (ecs, ecr, logs) = (colleague::ecs(at), colleague::ecr(at), colleague::logs(at));
        let local = aws_sdk_iam::types::PolicyScopeType::Local;
        block_on(async {
            let endpoints = ec2.describe_vpc_endpoints().send().await.expect("endpoints");
            let gone = |state: Option<&aws_sdk_ec2::types::State>| {
                state.is_some_and(|s| s.as_str().eq_ignore_ascii_case("deleted"))
            };
            let clusters = ecs.list_clusters().send().await.expect("clusters");
            let clusters = ecs.describe_clusters().set_clusters(clusters.cluster_arns).send().await.expect("clusters");
            BTreeMap::from([
                ("vpc", ec2.describe_vpcs().send().await.expect("vpcs").vpcs().len()),
                ("subnet", ec2.describe_subnets().send().await.expect("subnets").subnets().len()),
                (
                    "internet gateway",
                    ec2.describe_internet_gateways().send().await.expect("gateways").internet_gateways().len(),
                ),
                ("group", ec2.describe_security_groups().send().await.expect("groups").security_groups().len()),
                ("rule", ec2.describe_security_group_rules().send().await.expect("rules").security_group_rules().len()),
                ("route table", ec2.describe_route_tables().send().await.expect("tables").route_tables().len()),
                ("endpoint", endpoints.vpc_endpoints().iter().filter(|e| !gone(e.state())).count()),
                ("role", iam.list_roles().send().await.expect("roles").roles().len()),
                ("policy", iam.list_policies().scope(local).send().await.expect("policies").policies().len()),
                (
                    "subnet group",
                    rds.describe_db_subnet_groups().send().await.expect("subnet groups").db_subnet_groups().len(),
                ),
                ("db cluster", rds.describe_db_clusters().send().await.expect("clusters").db_clusters().len()),
                ("db instance", rds.describe_db_instances().send().await.expect("instances").db_instances().len()),
                ("ecs cluster", clusters.clusters().iter().filter(|c| c.status() == Some("ACTIVE")).count()),
                ("repository", ecr.describe_repositories().send().await.expect("repositories").repositories().len()),
                ("log group", logs.describe_log_groups().send().await.expect("log groups").log_groups().len()),
            ])
        })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_moto(operator: &Operator, args: &[&str]) -> Said {
    let mut command = operator.command(args);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let said = command.output().expect("switchback starts");
    Said {
        code: said.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&said.stdout).into_owned(),
        err: String::from_utf8_lossy(&said.stderr).into_owned(),
    }
}

#[test]
fn forward_verified_and_back_to_nothing() {
    let Some(moto) = Moto::start() else { return };
    let operator = Operator::alone();
    let before = moto.count();
    let path = mistersmith();
    let account = format!("account={ACCOUNT}");
    let endpoint = ["--endpoint-url", &moto.endpoint];
    let apply = ["apply", &path.to_string_lossy(), "--auto-approve", "--input", &account, endpoint[0], endpoint[1]];
    on_moto(&operator, &apply).exits(0);
    let made = moto.count();
    let new = |kind: &str| made[kind] - before[kind];
    for (kind, wanted) in [
        ("vpc", 1),
        ("subnet", 2),
        ("internet gateway", 1),
        // A VPC comes with a group and a table of its own.
        ("group", 4),
        ("route table", 2),
        ("endpoint", 8),
        ("role", 2),
        ("policy", 1),
        ("subnet group", 1),
        ("db cluster", 1),
        ("db instance", 1),
        ("ecs cluster", 1),
        ("repository", 3),
        ("log group", 1),
    ] {
        assert_eq!(new(kind), wanted, "{kind}: {before:?} -> {made:?}");
    }
    on_moto(&operator, &["verify"]).exits(0);
    on_moto(&operator, &["unwind", "--to", "vpc", "--auto-approve"]).exits(0);
    on_moto(&operator, &["resume"]).exits(0);
    assert_eq!(moto.count(), made, "the next generation is equal to the first");
    on_moto(&operator, &["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(moto.count(), before, "nothing is left");
}
