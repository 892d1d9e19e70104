use aws_sdk_ec2::types::{
    IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroupRuleRequest, SecurityGroupRuleUpdate, UserIdGroupPair,
};
use switchback_sandbox::{Quotas, Sandbox};

use crate::support::{aws, aws_from, filter, refused, tagged, tcp};

#[tokio::test]
async fn rules_have_ids_and_tags() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let group = aws.group(&vpc, "web").await;
    let ranges = IpRange::builder().cidr_ip("10.0.0.9/16").description("inside").build();
    let six = Ipv6Range::builder().cidr_ipv6("::/0").build();
    let permission =
        IpPermission::builder().ip_protocol("6").from_port(80).to_port(81).ip_ranges(ranges).ipv6_ranges(six).build();
    let allowed = aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(permission);
    let allowed = allowed.tag_specifications(tagged(ResourceType::SecurityGroupRule, "step", "a/b"));
    let made = allowed.send().await.unwrap().security_group_rules.unwrap();
    assert_eq!(made.len(), 2);
    let found = aws.ec2.describe_security_group_rules().filters(filter("tag:step", "a/b"));
    let found = found.filters(filter("group-id", &group)).send().await.unwrap();
    let rules = found.security_group_rules();
    assert_eq!(rules, made);
    let four = rules.iter().find(|rule| rule.cidr_ipv4().is_some()).unwrap();
    assert_eq!((four.cidr_ipv4(), four.ip_protocol()), (Some("10.0.0.0/16"), Some("tcp")));
    assert_eq!((four.from_port(), four.to_port(), four.is_egress()), (Some(80), Some(81), Some(false)));
    assert_eq!((four.description(), four.tags()[0].value()), (Some("inside"), Some("a/b")));
    let by_id = aws.ec2.describe_security_group_rules();
    let by_id = by_id.security_group_rule_ids(four.security_group_rule_id().unwrap()).send().await.unwrap();
    assert_eq!(by_id.security_group_rules(), std::slice::from_ref(four));
}

#[tokio::test]
async fn the_same_rule_twice_is_refused() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let (group, other) = (aws.group(&vpc, "web").await, aws.group(&vpc, "other").await);
    let own = IpPermission::builder().ip_protocol("-1");
    let own = own.user_id_group_pairs(UserIdGroupPair::builder().group_id(&group).build()).build();
    for permission in [tcp(22, "10.0.0.0/8"), own] {
        let allow = || aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(permission.clone());
        allow().send().await.unwrap();
        refused(allow().send().await, "InvalidPermission.Duplicate");
        let twice = aws.ec2.authorize_security_group_ingress().group_id(&other);
        let twice = twice.ip_permissions(permission.clone()).ip_permissions(permission.clone());
        refused(twice.send().await, "InvalidParameterValue");
    }
    // The same range in another form, and the other direction.
    let same = aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(tcp(22, "10.1.2.3/8"));
    let message = refused(same.send().await, "InvalidPermission.Duplicate");
    assert_eq!(
        message,
        "the specified rule \"peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW\" already exists"
    );
    let out = aws.ec2.authorize_security_group_egress().group_id(&group).ip_permissions(tcp(22, "10.0.0.0/8"));
    out.send().await.unwrap();
}

#[tokio::test]
async fn a_rule_is_revoked_alone() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let group = aws.group(&vpc, "web").await;
    let stays = aws.allow(&group, 22, "10.0.0.0/8").await;
    let goes = aws.allow(&group, 22, "192.168.0.0/16").await;
    let also = aws.allow(&group, 22, "172.16.0.0/12").await;
    let revoke = || aws.ec2.revoke_security_group_ingress().group_id(&group);
    let gone = revoke().security_group_rule_ids(&goes).send().await.unwrap();
    assert_eq!(gone.revoked_security_group_rules()[0].security_group_rule_id(), Some(goes.as_str()));
    revoke().ip_permissions(tcp(22, "172.16.0.0/12")).send().await.unwrap();
    let found = aws.ec2.describe_security_group_rules().filters(filter("group-id", &group)).send().await.unwrap();
    let ids: Vec<&str> = found.security_group_rules().iter().filter_map(|rule| rule.security_group_rule_id()).collect();
    assert!(ids.contains(&stays.as_str()) && !ids.contains(&goes.as_str()) && !ids.contains(&also.as_str()));
    assert_eq!(ids.len(), 2, "it, and the rule that came with the group");
}

#[tokio::test]
async fn what_is_not_there_is_not_revoked() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let (group, other) = (aws.group(&vpc, "web").await, aws.group(&vpc, "other").await);
    let rule = aws.allow(&group, 22, "10.0.0.0/8").await;
    let revoke = |group: &str| aws.ec2.revoke_security_group_ingress().group_id(group);
    refused(revoke(&group).ip_permissions(tcp(23, "10.0.0.0/8")).send().await, "InvalidPermission.NotFound");
    refused(revoke(&group).security_group_rule_ids("sgr-0000dead").send().await, "InvalidSecurityGroupRuleId.NotFound");
    refused(revoke(&group).security_group_rule_ids("rule").send().await, "InvalidSecurityGroupRuleId.Malformed");
    refused(revoke(&other).security_group_rule_ids(&rule).send().await, "InvalidSecurityGroupRuleId.NotFound");
    let wrong_way = aws.ec2.revoke_security_group_egress().group_id(&group).security_group_rule_ids(&rule);
    refused(wrong_way.send().await, "InvalidSecurityGroupRuleId.NotFound");
    refused(revoke("sg-0000dead").security_group_rule_ids(&rule).send().await, "InvalidGroup.NotFound");
    refused(revoke(&group).send().await, "MissingParameter");
}

#[tokio::test]
async fn the_rule_that_came_with_a_group_can_go() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let group = aws.group(&vpc, "web").await;
    let found = aws.ec2.describe_security_group_rules().filters(filter("group-id", &group)).send().await.unwrap();
    let rule = found.security_group_rules()[0].security_group_rule_id().unwrap();
    let revoke = aws.ec2.revoke_security_group_egress().group_id(&group).security_group_rule_ids(rule);
    revoke.send().await.unwrap();
    let found = aws.ec2.describe_security_group_rules().filters(filter("group-id", &group)).send().await.unwrap();
    assert_eq!(found.security_group_rules(), []);
}

#[tokio::test]
async fn bad_permissions_are_refused() {
    let aws = aws();
    let (vpc, other_vpc) = (aws.vpc().await, aws.vpc().await);
    let (group, foreign) = (aws.group(&vpc, "web").await, aws.group(&other_vpc, "web").await);
    let allow = |permission: IpPermission| {
        aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(permission).send()
    };
    let base = || IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(1);
    let range = |cidr: &str| IpRange::builder().cidr_ip(cidr).build();
    let peer = |id: &str| UserIdGroupPair::builder().group_id(id).build();
    refused(allow(tcp(22, "10.0.0.0")).await, "InvalidParameterValue");
    refused(allow(tcp(70000, "10.0.0.0/8")).await, "InvalidParameterValue");
    refused(allow(base().from_port(9).ip_ranges(range("10.0.0.0/8")).build()).await, "InvalidParameterValue");
    refused(allow(base().set_to_port(None).ip_ranges(range("10.0.0.0/8")).build()).await, "InvalidParameterValue");
    refused(allow(base().ip_protocol("xyz").ip_ranges(range("10.0.0.0/8")).build()).await, "InvalidParameterValue");
    refused(allow(base().build()).await, "MissingParameter");
    refused(allow(base().user_id_group_pairs(peer("sg-0000dead")).build()).await, "InvalidGroup.NotFound");
    refused(allow(base().user_id_group_pairs(peer("nonsense")).build()).await, "InvalidGroupId.Malformed");
    let message = refused(allow(base().user_id_group_pairs(peer(&foreign)).build()).await, "InvalidGroup.NotFound");
    assert_eq!(message, "You have specified two resources that belong to different networks.");
    let nothing = aws.ec2.authorize_security_group_ingress().group_id(&group);
    refused(nothing.send().await, "MissingParameter");
    let rules = aws.sandbox.world().await.counts.get("security-group-rule").copied();
    assert_eq!(rules, None);
}

#[tokio::test]
async fn a_quota_of_rules_is_kept() {
    let quotas = Quotas { rules_per_group: Some(1), ..Quotas::default() };
    let aws = aws_from(Sandbox::builder().quotas(quotas));
    let vpc = aws.vpc().await;
    let group = aws.group(&vpc, "web").await;
    aws.allow(&group, 1, "10.0.0.0/8").await;
    let more = aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(tcp(2, "10.0.0.0/8"));
    refused(more.send().await, "RulesPerSecurityGroupLimitExceeded");
}

#[tokio::test]
async fn unknown_rules_are_not_described() {
    let aws = aws();
    let describe = |id: &str| aws.ec2.describe_security_group_rules().security_group_rule_ids(id).send();
    refused(describe("sgr-0000dead").await, "InvalidSecurityGroupRuleId.NotFound");
    refused(describe("sgr").await, "InvalidSecurityGroupRuleId.Malformed");
}

#[tokio::test]
async fn a_rule_that_is_modified_keeps_its_id_and_its_tags() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let group = aws.group(&vpc, "web").await;
    let allow = aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(tcp(22, "10.0.0.0/8"));
    let allow = allow.tag_specifications(tagged(ResourceType::SecurityGroupRule, "step", "a"));
    let made = allow.send().await.unwrap().security_group_rules.unwrap();
    let id = made[0].security_group_rule_id().unwrap();
    let change = |port: i32, id: &str| {
        let rule = SecurityGroupRuleRequest::builder().ip_protocol("tcp").from_port(port).to_port(port);
        let rule = rule.cidr_ipv4("10.0.0.0/8").build();
        let update = SecurityGroupRuleUpdate::builder().security_group_rule_id(id).security_group_rule(rule).build();
        aws.ec2.modify_security_group_rules().group_id(&group).security_group_rules(update)
    };
    change(2222, id).send().await.unwrap();
    let found = aws.ec2.describe_security_group_rules().security_group_rule_ids(id).send().await.unwrap();
    let rule = &found.security_group_rules()[0];
    assert_eq!((rule.from_port(), rule.tags()[0].value()), (Some(2222), Some("a")));
    aws.ec2
        .authorize_security_group_ingress()
        .group_id(&group)
        .ip_permissions(tcp(22, "10.0.0.0/8"))
        .send()
        .await
        .unwrap();
    refused(change(22, id).send().await, "InvalidPermission.Duplicate");
    refused(change(22, "sgr-00000000").send().await, "InvalidSecurityGroupRuleId.NotFound");
}
