//! Somebody changes by hand what a run made.

use aws_sdk_ec2::types::{SecurityGroupRuleRequest, SecurityGroupRuleUpdate};

use crate::colleague;
use crate::support::{Operator, block_on, mistersmith};

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
