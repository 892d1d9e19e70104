//! What the wire looks like, service by service: the real SDKs read the replies, the refusals and the faults.

use aws_sdk_ec2::operation::RequestId;
use aws_sdk_resourcegroupstagging::types::TagFilter;
use switchback_sandbox::{Effect, Fault};

use crate::support::{aws, refused, refused_with, tag};

/// Every service once, with a call that reads.
macro_rules! every_service {
    ($aws:ident, $each:ident) => {
        $each!("sts", "GetCallerIdentity", $aws.sts.get_caller_identity());
        $each!("iam", "ListRoles", $aws.iam.list_roles());
        $each!("rds", "DescribeDBClusters", $aws.rds.describe_db_clusters());
        $each!("ecs", "ListClusters", $aws.ecs.list_clusters());
        $each!("ecr", "DescribeRepositories", $aws.ecr.describe_repositories());
        $each!("logs", "DescribeLogGroups", $aws.logs.describe_log_groups());
        $each!("kms", "ListKeys", $aws.kms.list_keys());
        $each!("secretsmanager", "ListSecrets", $aws.secrets.list_secrets());
        $each!("tagging", "GetResources", $aws.tagging.get_resources());
    };
}

#[tokio::test]
async fn every_service_answers_with_a_request_id() {
    let aws = aws();
    macro_rules! call {
        ($service:literal, $action:literal, $call:expr) => {
            let answer = $call.send().await.unwrap();
            assert!(answer.request_id().is_some(), $service);
            let seen = aws.sandbox.faults().calls().pop().unwrap();
            assert_eq!((seen.service.as_str(), seen.action.as_str(), seen.write), ($service, $action, false));
        };
    }
    every_service!(aws, call);
}

#[tokio::test]
async fn faults_speak_the_protocol_of_the_service() {
    let aws = aws();
    macro_rules! suffer {
        ($service:literal, $action:literal, $call:expr) => {
            let fault = |effect| aws.sandbox.faults().add(Fault::new($action, effect).service($service));
            fault(Effect::Throttle);
            let error = $call.send().await.unwrap_err();
            assert!(error.request_id().is_some());
            let code = aws.sandbox.faults().calls().pop().unwrap().code.unwrap();
            assert!(code.starts_with("Throttl"), "{code}");
            refused::<_, _>(Err::<(), _>(error), &code);
            aws.sandbox.faults().clear();
            fault(Effect::Deny);
            let error = $call.send().await.unwrap_err();
            let code = aws.sandbox.faults().calls().pop().unwrap().code.unwrap();
            assert!(code.starts_with("AccessDenied"), "{code}");
            assert_eq!(aws_sdk_ec2::error::ProvideErrorMetadata::code(&error), Some(code.as_str()));
            fault(Effect::ReplyLost { wait_ms: 0 });
            aws.sandbox.faults().clear();
            fault(Effect::Expire);
            $call.send().await.unwrap_err();
            let code = aws.sandbox.faults().calls().pop().unwrap().code.unwrap();
            assert!(code.starts_with("ExpiredToken"), "{code}");
            aws.sandbox.faults().clear();
        };
    }
    every_service!(aws, suffer);
}

#[tokio::test]
async fn a_fault_finds_a_value_deep_in_json() {
    let aws = aws();
    aws.sandbox.faults().add(Fault::new("DescribeClusters", Effect::Throttle).resource("two").times(0));
    aws.ecs.describe_clusters().clusters("one").send().await.unwrap();
    refused(aws.ecs.describe_clusters().clusters("two").send().await, "ThrottlingException");
}

#[tokio::test]
async fn errors_of_the_emulator_are_passed_on() {
    let aws = aws();
    refused_with(aws.iam.get_role().role_name("nobody").send().await, 404, "NoSuchEntity");
    refused(aws.secrets.describe_secret().secret_id("nothing").send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn tagged_resources_are_found_across_services() {
    let aws = aws();
    let vpc = aws.vpc().await;
    aws.ec2.create_tags().resources(&vpc).tags(tag("run", "1")).send().await.unwrap();
    aws.vpc().await;
    aws.logs.create_log_group().log_group_name("/app").tags("run", "1").send().await.unwrap();
    let find = |value: &str| {
        let filter = TagFilter::builder().key("run").values(value).build();
        aws.tagging.get_resources().tag_filters(filter)
    };
    let found = find("1").send().await.unwrap();
    let arns: Vec<&str> = found.resource_tag_mapping_list().iter().filter_map(|it| it.resource_arn()).collect();
    let vpc = format!("arn:aws:ec2:us-east-1:123456789012:vpc/{vpc}");
    assert_eq!(arns.len(), 2);
    assert!(arns.contains(&vpc.as_str()), "{arns:?}");
    let found = find("1").resource_type_filters("ec2:vpc").send().await.unwrap();
    assert_eq!(found.resource_tag_mapping_list().len(), 1);
    assert!(find("2").send().await.unwrap().resource_tag_mapping_list().is_empty());
    let page = find("1").resources_per_page(1).send().await.unwrap();
    assert_eq!(page.resource_tag_mapping_list().len(), 1);
    let next = page.pagination_token().unwrap();
    let page = find("1").resources_per_page(1).pagination_token(next).send().await.unwrap();
    assert_eq!((page.resource_tag_mapping_list().len(), page.pagination_token()), (1, Some("")));
}
