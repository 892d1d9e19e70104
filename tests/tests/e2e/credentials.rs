//! Credentials that expire in the middle: paused, resumed when they are back, nothing unwound.

use serde_json::json;

use crate::support::{ACCOUNT, Operator, Said, mistersmith, runbook};

#[test]
fn lost_credentials_pause_the_run_and_unwind_nothing() {
    let operator = Operator::with_sandbox();
    // The first is the dry run of the preflight.
    operator.faults(&json!({ "faults": [{ "action": "CreateSubnet", "nth": 2, "effect": { "kind": "expire" } }] }));
    operator.apply(&mistersmith()).exits(4).says("switchback resume");
    let after = operator.world();
    assert_eq!(after["counts"]["vpc"], 1, "nothing was unwound");
    operator.run(&["resume"]).exits(4);
    assert_eq!(operator.world(), after);
    operator.admin("DELETE", "faults", "");
    operator.run(&["resume"]).exits(0);
    assert_eq!(operator.world()["counts"]["subnet"], 2);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

#[test]
fn a_denied_delete_is_stuck_and_ends_clean_when_the_permission_is_back() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    operator.faults(&json!({ "faults": [{ "action": "DeleteSubnet", "times": 0, "effect": { "kind": "deny" } }] }));
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(5).says("ec2:DeleteSubnet");
    assert_eq!(operator.world()["counts"]["vpc"], 1);
    operator.admin("DELETE", "faults", "");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

/// Acts on the sandbox as on any endpoint, with credentials of that account.
fn as_account(operator: &Operator, account: &str, args: &[&str]) -> Said {
    let mut command = operator.command(args);
    command.env("AWS_ACCESS_KEY_ID", account).env("AWS_SECRET_ACCESS_KEY", "secret");
    Said::new(command.output().expect("switchback starts"))
}

#[test]
fn another_account_is_refused_before_the_first_effect() {
    let operator = Operator::with_sandbox();
    let before = operator.world();
    let (path, endpoint) = (mistersmith(), operator.endpoint());
    let path = path.to_string_lossy();
    let apply = ["apply", &path, "--endpoint-url", &endpoint, "--auto-approve", "--input", "account=999999999999"];
    as_account(&operator, ACCOUNT, &apply).exits(1).says("999999999999").says(ACCOUNT);
    assert_eq!(operator.world(), before);
}

#[test]
fn two_accounts_mixed_up_are_refused_before_the_first_effect() {
    let operator = Operator::with_sandbox();
    let before = operator.world();
    let text = "runbook: two\nversion: 1\ntarget:\n  aws: { region: us-east-1, account: \"123456789012\" }\n  aws.other: { region: us-east-1, account: \"999999999999\" }\nphases:\n  - name: only\n    steps:\n      - id: here\n        op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/16 }\n      - id: there\n        op: aws.ec2.vpc\n        provider: aws.other\n        with: { cidr_block: 10.1.0.0/16 }\n";
    let path = runbook(operator.state.path(), text);
    let (path, endpoint) = (path.to_string_lossy(), operator.endpoint());
    // The same credentials for both: right for one, wrong for the other.
    let apply = ["apply", &path, "--endpoint-url", &endpoint, "--auto-approve"];
    as_account(&operator, ACCOUNT, &apply).exits(1).says("aws.other");
    assert_eq!(operator.world(), before, "not even in the account that was right");
}

#[test]
fn an_expired_sso_session_is_named_with_the_command_that_begins_one() {
    let operator = Operator::with_sandbox();
    let before = operator.world();
    let home = operator.state.path().join(".aws");
    std::fs::create_dir_all(home.join("sso/cache")).unwrap();
    let profile = "[sso-session corp]\nsso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\n[profile prod]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Operator\n";
    std::fs::write(home.join("config"), profile).unwrap();
    // The name of the file is the SHA-1 of the session's name.
    let token = r#"{"startUrl":"https://example.awsapps.com/start","region":"us-east-1","accessToken":"over","expiresAt":"2020-01-01T00:00:00Z"}"#;
    std::fs::write(home.join("sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"), token).unwrap();
    let text = "runbook: sso\nversion: 1\ntarget:\n  aws: { region: us-east-1, account: \"123456789012\", profile: prod }\nphases:\n  - name: only\n    steps:\n      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/16 }\n";
    let path = runbook(operator.state.path(), text);
    let said =
        operator.run(&["apply", &path.to_string_lossy(), "--endpoint-url", &operator.endpoint(), "--auto-approve"]);
    assert!([1, 4].contains(&said.code), "{said:?}");
    said.says("aws sso login --profile prod");
    assert_eq!(operator.world(), before);
}

#[test]
fn a_database_that_may_not_be_deleted_is_stuck_and_ends_clean_when_the_permission_is_back() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    operator.faults(&json!({ "faults": [{ "action": "DeleteDBCluster", "times": 0, "effect": { "kind": "deny" } }] }));
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(5).says("rds:DeleteDBCluster");
    let world = operator.world();
    assert_eq!(world["counts"]["db-cluster"], 1);
    assert_eq!(world["counts"]["vpc"], 1, "what it is in stays");
    operator.admin("DELETE", "faults", "");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}
