//! The whole migration on moto, with a real PostgreSQL, NATS and registry: those of a sandbox, which is otherwise left
//! alone. What moto does not know is listed in [`switchback_testing::moto::UNKNOWN`].
//!
//! What is there is asked with the AWS CLI and with psql, which know nothing of runs.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use switchback_testing::moto::{with_database, without_unknown};

use crate::moto::{Moto, on_moto};
use crate::support::{ACCOUNT, Operator, PASSWORD, mistersmith, whole_mistersmith};

/// What is counted beside the infrastructure: a call of the CLI, and what of its answer.
const LISTS: [(&str, &str, &str); 10] = [
    ("dynamodb", "list-tables", "TableNames"),
    ("ecs", "list-task-definitions", "taskDefinitionArns"),
    ("elbv2", "describe-load-balancers", "LoadBalancers"),
    ("elbv2", "describe-target-groups", "TargetGroups"),
    ("lambda", "list-functions", "Functions"),
    ("secretsmanager", "list-secrets", "SecretList"),
    ("servicediscovery", "list-namespaces", "Namespaces"),
    ("servicediscovery", "list-services", "Services"),
    ("sns", "list-subscriptions", "Subscriptions"),
    ("ssm", "describe-parameters", "Parameters"),
];

fn listed(moto: &Moto) -> BTreeMap<&'static str, usize> {
    let cli = std::env::var_os("SWITCHBACK_AWS_CLI").expect("`cargo xtask test` installs the AWS CLI with moto");
    let count = |(service, call, list): (&str, &'static str, &str)| {
        let said = Command::new(&cli)
            .args(["--endpoint-url", &moto.endpoint, "--region", "us-east-1", "--output", "json", service, call])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .output()
            .expect("the AWS CLI starts");
        let all: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{service} {call}: {said:?}"));
        (call, all[list].as_array().map_or(0, Vec::len))
    };
    LISTS.map(count).into()
}

/// What a query of psql prints.
fn psql(address: (&str, &str), database: &str, query: &str) -> String {
    let (host, port) = address;
    let said = Command::new("psql")
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "-h", host, "-p", port, "-U", "postgres", "-d", database])
        .args(["-c", query])
        .env("PGPASSWORD", PASSWORD)
        .output()
        .expect("psql starts");
    assert!(said.status.success(), "{query}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

#[test]
fn all_of_it_forward_verified_and_back() {
    const DATABASES: &str = "SELECT count(*) FROM pg_database WHERE datname = 'mistersmith'";
    let Some(moto) = Moto::start() else { return };
    let (operator, servers) = (Operator::alone(), Operator::with_sandbox());
    // The sandbox's PostgreSQL has the master users of its clusters.
    servers.apply(&mistersmith()).exits(0);
    let sandbox = servers.sandbox();
    let parts = sandbox["parts"].as_array().expect("parts");
    let part = |name: &str| parts.iter().find(|part| part["name"] == name).expect("the part")["address"].clone();
    let database = part("postgresql").as_str().expect("an address").to_owned();
    let database = database.split_once(':').expect("host and port");

    let folder = whole_mistersmith().parent().expect("a folder").to_owned();
    let text = std::fs::read_to_string(whole_mistersmith()).expect("the runbook");
    // Beside the files that it includes.
    let path = tempfile::Builder::new().prefix("on-moto").suffix(".yaml").tempfile_in(folder).expect("a file");
    std::fs::write(path.path(), with_database(&without_unknown(&text), database.0, database.1)).expect("a runbook");
    let path = path.path().to_string_lossy().into_owned();
    moto.put_code().expect("the code is there");

    let inputs = sandbox["inputs"].as_object().expect("inputs").iter();
    let inputs = inputs.map(|(name, value)| format!("{name}={}", value.as_str().expect("a text")));
    let inputs: Vec<String> = inputs.chain([format!("account={ACCOUNT}")]).collect();
    let mut apply = vec!["apply", &path, "--auto-approve", "--endpoint-url", &moto.endpoint];
    apply.extend(inputs.iter().flat_map(|input| ["--input", input]));

    let (before, listed_before) = (moto.everything(), listed(&moto));
    on_moto(&operator, &apply).exits(0).says("76 steps");
    let there = listed(&moto);
    let wanted = [
        ("describe-load-balancers", 1),
        ("describe-parameters", 3),
        ("describe-target-groups", 1),
        ("list-functions", 1),
        ("list-namespaces", 1),
        ("list-secrets", 2),
        ("list-services", 1),
        ("list-subscriptions", 1),
        ("list-tables", 2),
        ("list-task-definitions", 3),
    ];
    assert_eq!(there, BTreeMap::from(wanted));
    assert_eq!(psql(database, "mistersmith", "SELECT count(*) FROM core.coordination_state"), "50");
    on_moto(&operator, &["verify"]).exits(0).says("76 steps as left");
    on_moto(&operator, &["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!((moto.everything(), listed(&moto)), (before, listed_before), "nothing is left");
    assert_eq!(psql(database, "postgres", DATABASES), "0");
}
