//! Somebody changes by hand what a run made.

use aws_sdk_ec2::types::{SecurityGroupRuleRequest, SecurityGroupRuleUpdate};

use crate::colleague;
use crate::support::{Operator, block_on, mistersmith, runbook};

#[test]
fn a_rule_changed_by_hand_stops_the_unwind_and_says_what_to_do() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    let ec2 = colleague::ec2(&operator.endpoint());
    let (rule, group) = block_on(async {
        let rules = ec2.describe_security_group_rules().send().await.expect("rules");
        let rule = rules
            .security_group_rules()
            .iter()
            .find(|r| r.from_port() == Some(5432))
            .expect("the rule of the database")
            .clone();
        (rule.security_group_rule_id().unwrap().to_owned(), rule.group_id().unwrap().to_owned())
    });
    let change = |port: i32| {
        let (ec2, rule, group) = (ec2.clone(), rule.clone(), group.clone());
        let source = group.clone();
        async move {
            let rules = ec2.describe_security_group_rules().security_group_rule_ids(&rule).send().await.expect("it");
            let peer = rules.security_group_rules()[0]
                .referenced_group_info()
                .and_then(|g| g.group_id())
                .unwrap_or(&source)
                .to_owned();
            let request = SecurityGroupRuleRequest::builder()
                .ip_protocol("tcp")
                .from_port(port)
                .to_port(port)
                .referenced_group_id(peer)
                .build();
            let update =
                SecurityGroupRuleUpdate::builder().security_group_rule_id(&rule).security_group_rule(request).build();
            ec2.modify_security_group_rules()
                .group_id(&group)
                .security_group_rules(update)
                .send()
                .await
                .expect("a colleague may do this");
        }
    };
    block_on(change(5433));
    operator.run(&["verify"]).exits(7);
    let said = operator.run(&["unwind", "--all", "--auto-approve"]).exits(7);
    let said = said.all();
    assert!(said.contains("5433") && said.contains("hint"), "{said}");
    let still = block_on(ec2.describe_security_group_rules().security_group_rule_ids(&rule).send());
    assert!(still.is_ok(), "what was changed is not deleted");
    operator.run(&["status"]).exits(0).prints("rollback_failed");
    // Put back as it was, the unwind goes on to its end.
    block_on(change(5432));
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

fn with_steps(steps: &str) -> String {
    format!(
        "runbook: drift\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"123456789012\" }}\nphases:\n  - name: only\n    steps:\n{steps}"
    )
}

#[test]
fn a_role_that_somebody_attached_another_policy_to_is_not_forced() {
    let operator = Operator::with_sandbox();
    let steps = r#"      - id: role
        op: aws.iam.role
        with:
          role_name: App
          assume_role_policy_document:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Principal: { Service: ecs-tasks.amazonaws.com }, Action: sts:AssumeRole }]
"#;
    operator.apply(&runbook(operator.state.path(), &with_steps(steps))).exits(0);
    let iam = colleague::iam(&operator.endpoint());
    let theirs = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    block_on(iam.attach_role_policy().role_name("App").policy_arn(theirs).send()).unwrap();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(7).says("ReadOnlyAccess");
    let still = block_on(iam.list_attached_role_policies().role_name("App").send()).unwrap();
    assert_eq!(still.attached_policies().len(), 1, "neither detached nor deleted");
    block_on(iam.detach_role_policy().role_name("App").policy_arn(theirs).send()).unwrap();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

#[test]
fn a_repository_that_holds_an_image_of_somebody_is_not_forced() {
    let operator = Operator::with_sandbox();
    let steps = "      - id: r\n        op: aws.ecr.repository\n        with: { repository_name: app }\n";
    operator.apply(&runbook(operator.state.path(), &with_steps(steps))).exits(0);
    let ecr = colleague::ecr(&operator.endpoint());
    let manifest = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
    block_on(ecr.put_image().repository_name("app").image_manifest(manifest).image_tag("theirs").send()).unwrap();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(7).says("theirs");
    let still = block_on(ecr.list_images().repository_name("app").send()).unwrap();
    assert_eq!(still.image_ids().len(), 1, "neither the image nor the repository is deleted");
    let image = still.image_ids()[0].clone();
    block_on(ecr.batch_delete_image().repository_name("app").image_ids(image).send()).unwrap();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}
