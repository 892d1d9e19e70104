use crate::support::{aws, filter, refused, tag};

#[tokio::test]
async fn everything_can_be_tagged_and_untagged() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = aws.gateway().await;
    let group = aws.group(&vpc, "web").await;
    let rule = aws.allow(&group, 22, "10.0.0.0/8").await;
    let interface = aws.interface(&subnet, None).await;
    let ids = vec![vpc, subnet, gateway, group, rule, interface];
    let put = aws.ec2.create_tags().set_resources(Some(ids.clone())).tags(tag("a", "1")).tags(tag("b", ""));
    put.send().await.unwrap();
    let describe = async |name: &str, value: &str| {
        aws.ec2.describe_tags().filters(filter(name, value)).send().await.unwrap().tags.unwrap()
    };
    assert_eq!(describe("key", "a").await.len(), ids.len());
    assert_eq!(describe("tag:a", "1").await.len(), ids.len());
    assert_eq!(describe("resource-type", "security-group-rule").await.len(), 2);
    assert_eq!(describe("resource-id", &ids[5]).await.len(), 2);

    // With a value, only where it is the value.
    let remove = |tag| aws.ec2.delete_tags().set_resources(Some(ids.clone())).tags(tag).send();
    remove(tag("a", "2")).await.unwrap();
    assert_eq!(describe("key", "a").await.len(), ids.len());
    remove(tag("a", "1")).await.unwrap();
    remove(aws_sdk_ec2::types::Tag::builder().key("b").build()).await.unwrap();
    assert_eq!(describe("key", "*").await, []);
}

#[tokio::test]
async fn bad_tags_are_refused() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let put = |key: &str, value: &str| aws.ec2.create_tags().resources(&vpc).tags(tag(key, value)).send();
    refused(put("aws:x", "1").await, "InvalidParameterValue");
    refused(put(&"k".repeat(129), "1").await, "InvalidParameterValue");
    refused(put("k", &"v".repeat(257)).await, "InvalidParameterValue");
    let twice = aws.ec2.create_tags().resources(&vpc).tags(tag("k", "1")).tags(tag("k", "2"));
    refused(twice.send().await, "InvalidParameterValue");
    let many = (0..51).map(|n| tag(&format!("k{n}"), "")).collect();
    refused(aws.ec2.create_tags().resources(&vpc).set_tags(Some(many)).send().await, "TagLimitExceeded");
    for n in 0..50 {
        put(&format!("k{n}"), "").await.unwrap();
    }
    refused(put("k50", "").await, "TagLimitExceeded");
    put("k49", "changed").await.unwrap();
}

#[tokio::test]
async fn unknown_resources_are_not_tagged() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let put = |id: &str| aws.ec2.create_tags().resources(&vpc).resources(id).tags(tag("a", "b")).send();
    refused(put("subnet-0000dead").await, "InvalidSubnetID.NotFound");
    refused(put("sg-0000dead").await, "InvalidGroup.NotFound");
    refused(put("sgr-0000dead").await, "InvalidSecurityGroupRuleId.NotFound");
    refused(put("nonsense").await, "InvalidID");
    let found = aws.ec2.describe_vpcs().vpc_ids(&vpc).send().await.unwrap();
    assert_eq!(found.vpcs()[0].tags(), [], "all of them or none");
}
