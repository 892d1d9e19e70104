//! Cloud Map: between the emulator's state view and the section of the picture.

use winterbaume_servicediscovery::ServiceDiscoveryStateView;
use winterbaume_servicediscovery::views::{
    DnsConfigEntryView, DnsRecordEntryView, HealthCheckCustomConfigEntryView, NamespaceView, OperationView,
    ServiceEntryView,
};

use super::Emulator;
use crate::picture::servicediscovery::{Discovery, Dns, Namespace, Operation, Service};

const FAILED: &str = "FAIL";

/// Reads all that exists.
pub(super) fn picture_of(view: &ServiceDiscoveryStateView) -> Discovery {
    let namespaces = view.namespaces.values().map(|it| {
        let namespace = Namespace {
            arn: it.arn.clone(),
            name: it.name.clone(),
            kind: it.namespace_type.clone(),
            description: it.description.clone(),
            vpc: it.vpc.clone(),
            hosted_zone: it.hosted_zone_id.clone(),
            soa_ttl: it.soa_ttl,
            token: it.creator_request_id.clone(),
            created: date(&it.create_date),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.id.clone(), namespace)
    });
    let services = view.services.values().map(|it| {
        let dns = it.dns_config.as_ref().map(|dns| Dns {
            policy: dns.routing_policy.clone().unwrap_or_default(),
            records: dns.dns_records.iter().map(|record| (record.record_type.clone(), record.ttl)).collect(),
        });
        let service = Service {
            arn: it.arn.clone(),
            name: it.name.clone(),
            namespace: it.namespace_id.clone(),
            description: it.description.clone(),
            dns,
            custom_health: it.health_check_custom_config.is_some(),
            instances: view.instances.get(&it.id).map_or(0, std::collections::HashMap::len),
            token: it.creator_request_id.clone(),
            created: date(&it.create_date),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.id.clone(), service)
    });
    let operations = view.operations.values().map(|it| {
        let operation = Operation {
            kind: it.operation_type.clone(),
            failed: it.status == FAILED,
            targets: it.targets.clone().into_iter().collect(),
            created: date(&it.create_date),
        };
        (it.id.clone(), operation)
    });
    Discovery { namespaces: namespaces.collect(), services: services.collect(), operations: operations.collect() }
}

fn date(text: &str) -> jiff::Timestamp {
    text.parse().unwrap_or_default()
}

impl Emulator {
    /// Makes a namespace what it is here, or makes it.
    pub(crate) async fn put_namespace(&self, id: &str, it: &Namespace) {
        let made = NamespaceView {
            id: id.to_owned(),
            arn: it.arn.clone(),
            name: it.name.clone(),
            namespace_type: it.kind.clone(),
            description: it.description.clone(),
            creator_request_id: it.token.clone(),
            vpc: it.vpc.clone(),
            hosted_zone_id: it.hosted_zone.clone(),
            soa_ttl: it.soa_ttl,
            service_count: 0,
            create_date: it.created.to_string(),
            tags: it.tags.clone().into_iter().collect(),
        };
        self.edit(|view: &mut ServiceDiscoveryStateView| {
            let services = view.services.values().filter(|service| service.namespace_id == id).count();
            let service_count = i32::try_from(services).unwrap_or(i32::MAX);
            view.namespaces.insert(id.to_owned(), NamespaceView { service_count, ..made });
        })
        .await;
    }

    /// Takes a namespace away.
    pub(crate) async fn drop_namespace(&self, id: &str) {
        self.edit(|view: &mut ServiceDiscoveryStateView| drop(view.namespaces.remove(id))).await;
    }

    /// Makes a service what it is here, or makes it. What is registered stays so.
    pub(crate) async fn put_discovery_service(&self, id: &str, it: &Service) {
        let dns = it.dns.as_ref().map(|dns| DnsConfigEntryView {
            namespace_id: Some(it.namespace.clone()),
            routing_policy: Some(dns.policy.clone()),
            dns_records: dns
                .records
                .iter()
                .map(|(kind, ttl)| DnsRecordEntryView { record_type: kind.clone(), ttl: *ttl })
                .collect(),
        });
        let made = ServiceEntryView {
            id: id.to_owned(),
            arn: it.arn.clone(),
            name: it.name.clone(),
            namespace_id: it.namespace.clone(),
            description: it.description.clone(),
            creator_request_id: it.token.clone(),
            dns_config: dns,
            health_check_config: None,
            health_check_custom_config: it
                .custom_health
                .then_some(HealthCheckCustomConfigEntryView { failure_threshold: Some(1) }),
            instance_count: i32::try_from(it.instances).unwrap_or(i32::MAX),
            create_date: it.created.to_string(),
            tags: it.tags.clone().into_iter().collect(),
            service_type: None,
            include_namespace_id_in_response: true,
        };
        self.edit(|view: &mut ServiceDiscoveryStateView| {
            view.instances.entry(id.to_owned()).or_default();
            view.services.insert(id.to_owned(), made);
        })
        .await;
    }

    /// Takes a service away.
    pub(crate) async fn drop_discovery_service(&self, id: &str) {
        self.edit(|view: &mut ServiceDiscoveryStateView| {
            view.services.remove(id);
            view.instances.remove(id);
        })
        .await;
    }

    /// Keeps an operation. Whether it is over is not kept here.
    pub(crate) async fn put_operation(&self, id: &str, it: &Operation) {
        let made = OperationView {
            id: id.to_owned(),
            operation_type: it.kind.clone(),
            status: if it.failed { FAILED } else { "SUCCESS" }.to_owned(),
            targets: it.targets.clone().into_iter().collect(),
            create_date: it.created.to_string(),
        };
        self.edit(|view: &mut ServiceDiscoveryStateView| drop(view.operations.insert(id.to_owned(), made))).await;
    }
}
