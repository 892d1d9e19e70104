//! The emulator: the only module that names the `winterbaume-*` crates, which are young and pinned.
//!
//! It takes calls in EC2's query protocol, hands out a [`Picture`] of all that exists, and can be saved and loaded as a
//! whole. Where an operation of the emulator is missing or loses something, there is a method here that edits its state
//! through its own state views; those methods do what they are told and refuse nothing; `rules` decides.
//!
//! Its state views are tens of kilobytes large before anything is in them, and so are the futures that hold one: all of
//! them are boxed here, so that no caller needs a large stack.
//!
//! The emulator keeps one account for the whole process and reports it in places. Nothing here passes that on: who
//! needs an account takes it from the settings.

mod convert;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use winterbaume_core::{MockRequest, MockResponse, MockService, StatefulService, default_account_id};
use winterbaume_ec2::views::{RouteTableAssociationView, SecurityGroupView, SubnetIpv6CidrAssocView};
use winterbaume_ec2::{Ec2Service, Ec2StateView};
use winterbaume_sts::StsService;
use winterbaume_sts::views::StsStateView;

use crate::picture::{Picture, RuleKey};
use crate::query::{Params, Tags};
use crate::refusal::{Refusal, Service};
use crate::xml::text_of;

/// The inner emulator of one region.
pub(crate) struct Emulator {
    ec2: Ec2Service,
    sts: StsService,
    region: String,
    picture: Arc<Mutex<Arc<Picture>>>,
}

/// All that an emulator holds.
#[derive(Clone)]
pub(crate) struct Saved {
    ec2: Arc<Ec2StateView>,
    sts: Arc<StsStateView>,
}

/// An answer of the emulator to a call that has no rules here.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Emulator {
    pub(crate) fn new(region: &str) -> Self {
        let ec2 = Ec2Service::new();
        let picture = Arc::new(Mutex::new(Arc::new(Picture::default())));
        // The emulator shows its state to listeners after every call that succeeded.
        let latest = Arc::clone(&picture);
        ec2.notifier().subscribe(move |_account, _region, view| {
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(convert::picture_of(view));
        });
        Self { ec2, sts: StsService::new(), region: region.to_owned(), picture }
    }

    /// What exists now.
    pub(crate) fn picture(&self) -> Arc<Picture> {
        Arc::clone(&self.picture.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Passes on a call as it came.
    pub(crate) async fn forward(&self, service: Service, params: &Params) -> Raw {
        let request = MockRequest {
            method: "POST".to_owned(),
            uri: format!("https://{}.{}.amazonaws.com/", service.name(), self.region),
            headers: HeaderMap::new(),
            // The emulator takes a plus sign for itself, so spaces must not be one.
            body: Bytes::from(params.encode().replace('+', "%20")),
        };
        let MockResponse { status, body, .. } = match service {
            Service::Ec2 => self.ec2.handle(request).await,
            Service::Sts => self.sts.handle(request).await,
        };
        Raw { status, body }
    }

    /// Makes a call of its own; gives back the XML of the reply.
    pub(crate) async fn act(&self, call: Params) -> Result<String, Refusal> {
        let raw = self.forward(Service::Ec2, &call).await;
        let body = String::from_utf8_lossy(&raw.body).into_owned();
        if raw.status < 300 { Ok(body) } else { Err(refusal_in(raw.status, &body)) }
    }

    /// Replaces the tags of a resource.
    pub(crate) async fn set_tags(&self, id: &str, tags: &Tags) {
        self.edit(|view| {
            if let Some(held) = convert::tags_mut(view, id) {
                *held = tags.clone().into_iter().collect();
            }
        })
        .await;
    }

    /// Replaces what a group allows.
    pub(crate) async fn set_rules(&self, group: &str, rules: &[RuleKey]) {
        self.edit(|view| set_rules(view, group, rules)).await;
    }

    /// Adds the default group, and makes this table the main one: both come with a VPC.
    pub(crate) async fn add_vpc_defaults(&self, vpc: &str, group: &str, table: &str) {
        self.edit(|view| {
            let own = RuleKey {
                group: group.to_owned(),
                egress: false,
                protocol: "-1".to_owned(),
                from: -1,
                to: -1,
                peer: crate::picture::Peer::Group(group.to_owned()),
            };
            if let Some(held) = view.security_groups.get_mut(group) {
                held.description = "default VPC security group".to_owned();
                held.ingress_rules = vec![convert::permission_of(&own)];
            }
            if let Some(held) = view.route_tables.get_mut(table) {
                held.associations.push(RouteTableAssociationView {
                    association_id: format!("rtbassoc-{}", vpc.trim_start_matches("vpc-")),
                    subnet_id: None,
                    gateway_id: None,
                    main: true,
                    state: "associated".to_owned(),
                });
            }
        })
        .await;
    }

    /// Takes away what goes with a VPC: its default group, main route table and default network ACL.
    pub(crate) async fn drop_vpc_defaults(&self, vpc: &str) {
        self.edit(|view| {
            view.security_groups.retain(|_, group| group.vpc_id != vpc);
            view.route_tables.retain(|_, table| table.vpc_id != vpc);
            view.network_acls.retain(|_, acl| acl.vpc_id != vpc);
        })
        .await;
    }

    /// Takes away what goes with a subnet: what ties it to route tables and network ACLs.
    pub(crate) async fn drop_subnet_ties(&self, subnet: &str) {
        self.edit(|view| {
            for table in view.route_tables.values_mut() {
                table.associations.retain(|tie| tie.subnet_id.as_deref() != Some(subnet));
            }
            for acl in view.network_acls.values_mut() {
                acl.associations.retain(|tie| tie.subnet_id != subnet);
            }
        })
        .await;
    }

    /// Gives a VPC a further range.
    pub(crate) async fn add_vpc_cidr(&self, vpc: &str, association: &str, cidr: &str) {
        self.edit(|view| {
            if let Some(held) = view.vpcs.get_mut(vpc) {
                held.secondary_cidr_blocks.push((association.to_owned(), cidr.to_owned()));
            }
        })
        .await;
    }

    /// Gives a subnet an IPv6 range.
    pub(crate) async fn add_subnet_ipv6(&self, subnet: &str, association: &str, cidr: &str) {
        self.edit(|view| {
            if let Some(held) = view.subnets.get_mut(subnet) {
                held.ipv6_cidr_blocks.push(SubnetIpv6CidrAssocView {
                    association_id: association.to_owned(),
                    ipv6_cidr_block: cidr.to_owned(),
                    state: "associated".to_owned(),
                });
            }
        })
        .await;
    }

    fn edit<'a>(&'a self, change: impl FnOnce(&mut Ec2StateView) + Send + 'a) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut view = self.view().await;
            change(&mut view);
            self.put(view).await;
        })
    }

    fn view(&self) -> BoxFuture<'_, Box<Ec2StateView>> {
        Box::pin(async { Box::new(self.ec2.snapshot(default_account_id(), &self.region).await) })
    }

    fn put(&self, view: Box<Ec2StateView>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.ec2.restore(default_account_id(), &self.region, *view).await {
                tracing::error!(%error, "the emulator did not take its own state back");
            }
        })
    }

    /// All that exists, to be loaded later, also into another emulator of the same region.
    pub(crate) async fn save(&self) -> Saved {
        Saved {
            ec2: Arc::from(self.view().await),
            sts: Arc::new(self.sts.snapshot(default_account_id(), &self.region).await),
        }
    }

    /// Makes everything as it was.
    pub(crate) async fn load(&self, saved: &Saved) {
        self.put(Box::new(Ec2StateView::clone(&saved.ec2))).await;
        let sts = StsStateView::clone(&saved.sts);
        if let Err(error) = self.sts.restore(default_account_id(), &self.region, sts).await {
            tracing::error!(%error, "the emulator did not take its own state back");
        }
    }

    /// Makes it empty. Ids go on counting, so that nothing new is taken for something old.
    pub(crate) async fn clear(&self) {
        let counters = self.view().await.counters;
        self.put(Box::new(Ec2StateView { counters, ..Ec2StateView::default() })).await;
    }
}

fn set_rules(view: &mut Ec2StateView, group: &str, rules: &[RuleKey]) {
    let Some(SecurityGroupView { ingress_rules, egress_rules, .. }) = view.security_groups.get_mut(group) else {
        return;
    };
    ingress_rules.clear();
    egress_rules.clear();
    for rule in rules {
        let side = if rule.egress { &mut *egress_rules } else { &mut *ingress_rules };
        side.push(convert::permission_of(rule));
    }
}

/// The emulator writes its errors in several forms; all of them have these two elements.
pub(crate) fn refusal_in(status: u16, body: &str) -> Refusal {
    let code = text_of(body, "Code").unwrap_or("InternalError").to_owned();
    let message = text_of(body, "Message").unwrap_or("An internal error has occurred").to_owned();
    Refusal::new(code, message).with_status(status)
}
