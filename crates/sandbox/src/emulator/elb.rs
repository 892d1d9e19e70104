//! Elastic Load Balancing: between the emulator's state view and the section of the picture. The emulator makes up ARNs
//! at random and checks nothing, so the rules make everything by these edits.

use winterbaume_elasticloadbalancingv2::Elbv2StateView;
use winterbaume_elasticloadbalancingv2::views::{
    AvailabilityZoneView, CertificateView, ListenerView, LoadBalancerView, RuleView, TargetDescriptionView,
    TargetGroupView,
};

use super::Emulator;
use crate::picture::elb::{Balancer, Elb, Listener, Rule, TargetGroup};
use crate::query::Tags;

/// Reads all that exists.
pub(super) fn picture_of(view: &Elbv2StateView) -> Elb {
    let tags = |arn: &str| view.resource_tags.get(arn).cloned().unwrap_or_default().into_iter().collect::<Tags>();
    let balancers = view.load_balancers.iter().map(|(arn, it)| {
        let zones = it.availability_zones.iter().map(|of| (of.subnet_id.clone(), of.zone_name.clone()));
        let balancer = Balancer {
            name: it.name.clone(),
            kind: it.lb_type.clone(),
            scheme: it.scheme.clone(),
            host: it.dns_name.clone(),
            vpc: it.vpc_id.clone(),
            subnets: zones.collect(),
            groups: it.security_groups.clone(),
            addresses: it.ip_address_type.clone(),
            attributes: it.attributes.clone().into_iter().collect(),
            created: it.created_time.clone(),
            tags: tags(arn),
        };
        (arn.clone(), balancer)
    });
    let groups = view.target_groups.iter().map(|(arn, it)| {
        let group = TargetGroup {
            name: it.name.clone(),
            protocol: it.protocol.clone(),
            port: it.port,
            vpc: it.vpc_id.clone(),
            kind: it.target_type.clone(),
            attributes: it.attributes.clone().into_iter().collect(),
            targets: it.targets.iter().map(|of| (of.id.clone(), of.port.unwrap_or(it.port))).collect(),
            tags: tags(arn),
        };
        (arn.clone(), group)
    });
    let listeners = view.listeners.iter().map(|(arn, it)| {
        let listener = Listener {
            balancer: it.load_balancer_arn.clone(),
            port: it.port,
            protocol: it.protocol.clone(),
            certificates: it.certificates.iter().map(|of| of.certificate_arn.clone()).collect(),
            tags: tags(arn),
        };
        (arn.clone(), listener)
    });
    let rules = view.rules.iter().filter(|(_, it)| !it.is_default).map(|(arn, it)| {
        let priority = it.priority.parse().unwrap_or_default();
        (arn.clone(), Rule { listener: it.listener_arn.clone(), priority, tags: tags(arn) })
    });
    Elb {
        balancers: balancers.collect(),
        groups: groups.collect(),
        listeners: listeners.collect(),
        rules: rules.collect(),
    }
}

/// Anything that the service has.
pub(crate) enum Balancing {
    Balancer(Balancer),
    Group(TargetGroup),
    Listener(Listener),
    Rule(Rule),
}

impl Emulator {
    /// Makes something, or makes it this.
    pub(crate) async fn put_balancing(&self, arn: &str, it: Balancing) {
        self.edit(|view: &mut Elbv2StateView| {
            let key = arn.to_owned();
            let tags = match it {
                Balancing::Balancer(it) => {
                    let (made, tags) = balancer(arn, it);
                    view.load_balancers.insert(key, made);
                    tags
                }
                Balancing::Group(it) => {
                    let (made, tags) = group(arn, it);
                    view.target_groups.insert(key, made);
                    tags
                }
                Balancing::Listener(it) => {
                    let certificate = |of: String| CertificateView { certificate_arn: of, is_default: Some(true) };
                    let made = ListenerView {
                        arn: arn.to_owned(),
                        load_balancer_arn: it.balancer,
                        port: it.port,
                        protocol: it.protocol,
                        default_actions: Vec::new(),
                        certificates: it.certificates.into_iter().map(certificate).collect(),
                        attributes: std::collections::HashMap::new(),
                    };
                    view.listeners.insert(key, made);
                    it.tags
                }
                Balancing::Rule(it) => {
                    let made = RuleView {
                        rule_arn: arn.to_owned(),
                        priority: it.priority.to_string(),
                        conditions: Vec::new(),
                        actions: Vec::new(),
                        is_default: false,
                        listener_arn: it.listener,
                    };
                    view.rules.insert(key, made);
                    it.tags
                }
            };
            view.resource_tags.insert(arn.to_owned(), tags.into_iter().collect());
        })
        .await;
    }

    /// Takes it away, with the listeners and the rules that are a part of it.
    pub(crate) async fn drop_balancing(&self, arn: &str) {
        self.edit(|view: &mut Elbv2StateView| {
            view.load_balancers.remove(arn);
            view.target_groups.remove(arn);
            view.listeners.retain(|key, it| key != arn && it.load_balancer_arn != arn);
            let listeners = &view.listeners;
            view.rules.retain(|key, it| key != arn && listeners.contains_key(&it.listener_arn));
            let (balancers, groups, rules) = (&view.load_balancers, &view.target_groups, &view.rules);
            view.resource_tags.retain(|key, _| {
                balancers.contains_key(key)
                    || groups.contains_key(key)
                    || listeners.contains_key(key)
                    || rules.contains_key(key)
            });
        })
        .await;
    }
}

fn balancer(arn: &str, it: Balancer) -> (LoadBalancerView, Tags) {
    let subnets = it.subnets.keys().cloned().collect();
    let zone = |(subnet_id, zone_name)| AvailabilityZoneView { zone_name, subnet_id };
    let made = LoadBalancerView {
        arn: arn.to_owned(),
        dns_name: it.host,
        name: it.name,
        scheme: it.scheme,
        state: "active".to_owned(),
        lb_type: it.kind,
        vpc_id: it.vpc,
        availability_zones: it.subnets.into_iter().map(zone).collect(),
        created_time: it.created,
        attributes: it.attributes.into_iter().collect(),
        ip_address_type: it.addresses,
        security_groups: it.groups,
        subnets,
        connection_logs: None,
        subnet_mapping_tf: Vec::new(),
        ipam_pools_tf: Vec::new(),
        minimum_load_balancer_capacity: Vec::new(),
    };
    (made, it.tags)
}

fn group(arn: &str, it: TargetGroup) -> (TargetGroupView, Tags) {
    let target = |(id, port)| TargetDescriptionView { id, port: Some(port), availability_zone: None };
    let made = TargetGroupView {
        arn: arn.to_owned(),
        name: it.name,
        protocol: it.protocol,
        port: it.port,
        vpc_id: it.vpc,
        health_check_path: String::new(),
        target_type: it.kind,
        attributes: it.attributes.into_iter().collect(),
        targets: it.targets.into_iter().map(target).collect(),
        target_failover: Vec::new(),
        target_group_health: Vec::new(),
        target_health_state: Vec::new(),
    };
    (made, it.tags)
}
