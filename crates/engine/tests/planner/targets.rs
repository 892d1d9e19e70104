//! Several targets, and which one a step acts on.

use switchback_engine::planner::{load_plan, plan_text};
use switchback_model::plan::{AssumeRole, AwsTarget};

use crate::fakes::{errors, plan, registry};

fn runbook(targets: &str, steps: &str) -> String {
    format!(
        "runbook: demo\nversion: 1\ntarget:\n{targets}inputs:\n  account: {{ type: string, default: \"123456789012\" }}\n  \
         pw: {{ type: secret }}\nphases:\n  - name: main\n    steps:\n{steps}"
    )
}

const TWO: &str = "  aws: { region: us-east-1, account: \"${inputs.account}\" }\n  aws.west:\n    region: us-west-2\n    \
                   account: \"210987654321\"\n    profile: west\n    assume_role: { role_arn: \"arn:aws:iam::210987654321:role/x\", external_id: e }\n    \
                   endpoint_url: \"http://127.0.0.1:4566\"\n";

fn step(rest: &str) -> String {
    format!("      - {{ id: vpc, op: net.vpc, with: {{ cidr_block: 10.0.0.0/16 }}, {rest} }}\n")
}

#[test]
fn a_step_names_its_target() {
    let plan = plan(&runbook(TWO, &step("for_each: { east: aws, west: aws.west }, provider: \"${each.value}\""))).plan;
    let west = AwsTarget {
        region: "us-west-2".into(),
        account: "210987654321".into(),
        profile: Some("west".into()),
        assume_role: Some(AssumeRole {
            role_arn: "arn:aws:iam::210987654321:role/x".into(),
            external_id: Some("e".into()),
            session_name: None,
        }),
        endpoint_url: Some("http://127.0.0.1:4566".into()),
    };
    assert_eq!(plan.target.more, [("aws.west".to_owned(), west)].into());
    let providers: Vec<_> = plan.steps.iter().map(|s| (s.id.as_str(), s.provider.as_deref())).collect();
    assert_eq!(providers, [("vpc[east]", None), ("vpc[west]", Some("aws.west"))], "the default one has no name");
    let text = plan_text(&plan);
    assert_eq!(load_plan(&text, &registry()).unwrap(), plan);
    let lost = text.replace(r#""provider":"aws.west""#, r#""provider":"aws.east""#);
    assert_eq!(
        load_plan(&lost, &registry()).unwrap_err().to_string(),
        "step `vpc[west]` acts on the target `aws.east`, which is not there"
    );
}

#[test]
fn a_target_that_is_not_declared() {
    insta::assert_snapshot!(errors(&runbook(TWO, &step("provider: aws.wst"))), @r"
    error[plan::unknown_target]: there is no target `aws.wst`
      --> runbook.yaml:17:78
       |
    17 |       - { id: vpc, op: net.vpc, with: { cidr_block: 10.0.0.0/16 }, provider: aws.wst }
       |                                                                              ^^^^^^^ this target is not declared
       = help: did you mean `aws.west`?
    ");
    insta::assert_snapshot!(errors(&runbook(TWO, &step("for_each: [east], provider: \"aws.${each.key}\""))), @r#"
    error[plan::unknown_target]: there is no target `aws.east`
      --> runbook.yaml:17:96
       |
    17 | vpc, op: net.vpc, with: { cidr_block: 10.0.0.0/16 }, for_each: [east], provider: "aws.${each.key}" }
       |                                                                                  ^^^^^^^^^^^^^^^^^ this target is not declared
       = help: did you mean `aws.west`?
    "#);
    insta::assert_snapshot!(errors(&runbook("  aws.west: { region: r, account: \"1\" }\n", &step("provider: aws"))), @r#"
    error[plan::account]: `1` is not an AWS account
     --> runbook.yaml:4:35
      |
    4 |   aws.west: { region: r, account: "1" }
      |                                   ^^^ an account is wanted here
      = help: an account has twelve digits, such as "123456789012"

    error[plan::unknown_target]: there is no target `aws`
      --> runbook.yaml:11:78
       |
    11 |       - { id: vpc, op: net.vpc, with: { cidr_block: 10.0.0.0/16 }, provider: aws }
       |                                                                              ^^^ this target is not declared
       = help: declare it under `target:`; the targets are `aws.west`
    "#);
}

#[test]
fn what_a_target_cannot_be() {
    let with = |from: &str, to: &str| errors(&runbook(&TWO.replace(from, to), &step("provider: aws.west")));
    insta::assert_snapshot!(with("aws.west:", "aws.West:"), @r"
    error[runbook::unknown_key]: unknown key `aws.West` in `target`
     --> runbook.yaml:5:3
      |
    5 |   aws.West:
      |   ^^^^^^^^ this key is not known
      = help: `target` has the keys `aws`
    ");
    insta::assert_snapshot!(with("arn:aws:iam::210987654321:role/x", "x"), @r#"
    error[plan::role]: `x` is not the ARN of a role
     --> runbook.yaml:9:30
      |
    9 |     assume_role: { role_arn: "x", external_id: e }
      |                              ^^^ the ARN of a role is wanted here
      = help: write it like `arn:aws:iam::210987654321:role/NAME`
    "#);
    insta::assert_snapshot!(with("http://127.0.0.1:4566", "127.0.0.1:4566"), @r#"
    error[plan::endpoint_url]: `127.0.0.1:4566` is not the URL of an endpoint
      --> runbook.yaml:10:19
       |
    10 |     endpoint_url: "127.0.0.1:4566"
       |                   ^^^^^^^^^^^^^^^^ a URL is wanted here
       = help: write it like `http://127.0.0.1:4566`
    "#);
    insta::assert_snapshot!(with("external_id: e", "external: e"), @r#"
    error[runbook::unknown_key]: unknown key `external` in `assume_role`
     --> runbook.yaml:9:66
      |
    9 |     assume_role: { role_arn: "arn:aws:iam::210987654321:role/x", external: e }
      |                                                                  ^^^^^^^^ this key is not known
      = help: did you mean `external_id`?
    "#);
    insta::assert_snapshot!(with("profile: west", "profile: \"${inputs.pw}\""), @r#"
    error[plan::secret]: `${inputs.pw}` is a secret and cannot stand here
     --> runbook.yaml:8:14
      |
    8 |     profile: "${inputs.pw}"
      |              ^^^^^^^^^^^^^^ what stands here goes into the plan
      = help: a secret stands alone, in the parameters of an operation that takes one
    "#);
}
