//! Cloud Map: private namespaces and the services in them.

use aws_sdk_servicediscovery::operation::create_private_dns_namespace::builders::CreatePrivateDnsNamespaceFluentBuilder;
use aws_sdk_servicediscovery::types::{
    DnsConfig, DnsRecord, OperationStatus, OperationTargetType, RecordType, RoutingPolicy, Tag,
};

use crate::support::{Aws, SETTLE, aws, refused};

impl Aws {
    fn begin(&self, name: &str, vpc: &str) -> CreatePrivateDnsNamespaceFluentBuilder {
        self.discovery.create_private_dns_namespace().name(name).vpc(vpc)
    }

    /// The id of a namespace that is there.
    pub(crate) async fn namespace(&self, name: &str, vpc: &str) -> String {
        let begun = self.begin(name, vpc).send().await.unwrap();
        self.sandbox.clock().advance(SETTLE);
        self.outcome(begun.operation_id().unwrap()).await.1.unwrap()
    }

    /// How an operation stands, and the namespace that it is about.
    async fn outcome(&self, id: &str) -> (OperationStatus, Option<String>) {
        let read = self.discovery.get_operation().operation_id(id).send().await.unwrap().operation.unwrap();
        let about = read.targets().and_then(|all| all.get(&OperationTargetType::Namespace)).cloned();
        (read.status.unwrap(), about)
    }
}

fn records() -> DnsConfig {
    let record = |kind, ttl| DnsRecord::builder().r#type(kind).ttl(ttl).build().unwrap();
    let all = [record(RecordType::A, 10), record(RecordType::Srv, 20)];
    DnsConfig::builder().set_dns_records(Some(all.into())).build().unwrap()
}

#[tokio::test]
async fn a_namespace_is_seen_when_its_operation_is_over() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let tag = Tag::builder().key("a").value("b").build().unwrap();
    let begun = aws.begin("local", &vpc).creator_request_id("t").tags(tag.clone()).send().await.unwrap();
    let operation = begun.operation_id().unwrap();
    let (status, id) = aws.outcome(operation).await;
    let id = id.unwrap();
    assert_eq!(status, OperationStatus::Pending);
    refused(aws.discovery.get_namespace().id(&id).send().await, "NamespaceNotFound");
    let again = aws.begin("local", &vpc).creator_request_id("t").tags(tag.clone()).send().await.unwrap();
    assert_eq!(again.operation_id(), Some(operation), "the same call again");
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(aws.outcome(operation).await.0, OperationStatus::Success);
    let read = aws.discovery.get_namespace().id(&id).send().await.unwrap().namespace.unwrap();
    let dns = read.properties().unwrap().dns_properties().unwrap();
    assert!(dns.hosted_zone_id().is_some() && dns.soa().unwrap().ttl() == 15);
    let tags = aws.discovery.list_tags_for_resource().resource_arn(read.arn().unwrap()).send().await.unwrap();
    assert_eq!(tags.tags(), [tag]);
    assert_eq!(aws.discovery.list_namespaces().send().await.unwrap().namespaces().len(), 1);
}

#[tokio::test]
async fn a_name_is_taken_in_its_vpc_only() {
    let aws = aws();
    let (one, other) = (aws.vpc().await, aws.vpc().await);
    aws.namespace("local", &one).await;
    aws.namespace("local", &other).await;
    aws.namespace("other", &one).await;
    let begun = aws.begin("app.local", &one).send().await.unwrap();
    assert_eq!(aws.outcome(begun.operation_id().unwrap()).await.0, OperationStatus::Fail);
    refused(aws.begin("local", "vpc-12345678").send().await, "InvalidInput");
    refused(aws.begin("a..b", &one).send().await, "InvalidInput");
}

#[tokio::test]
async fn what_is_used_is_not_deleted() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let namespace = aws.namespace("local", &vpc).await;
    let create = || aws.discovery.create_service().name("web").namespace_id(&namespace).dns_config(records());
    let made = create().send().await.unwrap().service.unwrap();
    let dns = made.dns_config().unwrap();
    assert_eq!((dns.routing_policy(), dns.dns_records().len()), (Some(&RoutingPolicy::Multivalue), 2));
    refused(create().name("WEB").send().await, "ServiceAlreadyExists");
    refused(create().namespace_id("ns-none").send().await, "NamespaceNotFound");
    let id = made.id().unwrap();
    let register = aws.discovery.register_instance().service_id(id).instance_id("i-1");
    register.attributes("AWS_INSTANCE_IPV4", "10.0.0.9").send().await.unwrap();
    refused(aws.discovery.delete_service().id(id).send().await, "ResourceInUse");
    refused(aws.discovery.delete_namespace().id(&namespace).send().await, "ResourceInUse");
    aws.discovery.deregister_instance().service_id(id).instance_id("i-1").send().await.unwrap();
    aws.discovery.delete_service().id(id).send().await.unwrap();
    refused(aws.discovery.get_service().id(id).send().await, "ServiceNotFound");
    let begun = aws.discovery.delete_namespace().id(&namespace).send().await.unwrap();
    refused(aws.discovery.delete_namespace().id(&namespace).send().await, "DuplicateRequest");
    assert_eq!(aws.outcome(begun.operation_id().unwrap()).await.0, OperationStatus::Pending);
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(aws.outcome(begun.operation_id().unwrap()).await.0, OperationStatus::Success);
    refused(aws.discovery.get_namespace().id(&namespace).send().await, "NamespaceNotFound");
}

#[tokio::test]
async fn a_snapshot_keeps_namespaces_and_services() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let namespace = aws.namespace("local", &vpc).await;
    let create = aws.discovery.create_service().name("web").namespace_id(&namespace).dns_config(records());
    let made = create.description("x").send().await.unwrap().service.unwrap();
    let (start, before) = (aws.sandbox.snapshot().await, aws.sandbox.world().await);
    assert_eq!((before.counts["namespace"], before.counts["discovery-service"]), (1, 1));
    aws.discovery.delete_service().id(made.id().unwrap()).send().await.unwrap();
    assert_ne!(aws.sandbox.world().await, before);
    aws.sandbox.restore(&start).await;
    assert_eq!(aws.sandbox.world().await, before);
    let read = aws.discovery.get_service().id(made.id().unwrap()).send().await.unwrap().service.unwrap();
    assert_eq!(read.dns_config(), made.dns_config());
}
