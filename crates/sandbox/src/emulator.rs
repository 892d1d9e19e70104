//! The emulator of one place: the only module that names the `winterbaume-*` crates, which are young and pinned.
//!
//! It takes calls in each service's own protocol, hands out a [`Picture`] of all that exists, and can be saved and
//! loaded as a whole. Where an operation of the emulator is missing or loses something, there is a method in the
//! module of the service that edits its state through its own state view; those methods do what they are told and
//! refuse nothing; `rules` decides.
//!
//! A state view does not hold everything: what it leaves out is lost by an edit and by a snapshot. That has to be kept
//! in the notes instead.
//!
//! EC2's state views are tens of kilobytes large before anything is in them, and so are the futures that hold one: all
//! of them are boxed here, so that no caller needs a large stack.
//!
//! The crates know one account a process. An emulator that plays another one swaps the two in all that goes in and
//! comes out, so that rules and callers see the account of the place, and an ARN of the other account stays one.

mod backup;
mod cloudwatch;
mod dynamodb;
mod ec2;
mod ecr;
mod ecs;
mod elb;
mod iam;
mod kms;
mod lambda;
mod logs;
mod rds;
mod s3;
mod secrets;
mod servicediscovery;
mod sns;
mod ssm;

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use winterbaume_backup::{BackupService, BackupStateView};
use winterbaume_cloudwatch::{CloudWatchService, CloudwatchStateView};
use winterbaume_cloudwatchlogs::{CloudWatchLogsService, LogsStateView};
use winterbaume_core::{MockRequest, MockResponse, MockService, StatefulService, default_account_id};
use winterbaume_dynamodb::{DynamoDbService, DynamodbStateView};
use winterbaume_ec2::views::CountersView;
use winterbaume_ec2::{Ec2Service, Ec2StateView};
use winterbaume_ecr::{EcrService, EcrStateView};
use winterbaume_ecs::{EcsService, EcsStateView};
use winterbaume_elasticloadbalancingv2::{ElasticLoadBalancingV2Service, Elbv2StateView};
use winterbaume_iam::{IamService, IamStateView};
use winterbaume_kms::{KmsService, KmsStateView};
use winterbaume_lambda::{LambdaService, LambdaStateView};
use winterbaume_rds::{RdsService, RdsStateView};
use winterbaume_s3::{S3Service, S3StateView};
use winterbaume_secretsmanager::{SecretsManagerService, SecretsmanagerStateView};
use winterbaume_servicediscovery::{ServiceDiscoveryService, ServiceDiscoveryStateView};
use winterbaume_sns::{SnsService, SnsStateView};
use winterbaume_ssm::{SsmService, SsmStateView};
use winterbaume_sts::StsService;
use winterbaume_sts::views::StsStateView;

pub(crate) use self::dynamodb::{Expression, Item, key, part, read, size};
pub(crate) use self::elb::Balancing;
use crate::notes::Reply;
use crate::picture::Picture;
use crate::place::{GLOBAL, Place};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::rest::Rest;
use crate::rules::is_write;
use crate::service::{Protocol, Service};
use crate::xml::text_of;

/// The region that the crates are told where AWS has none.
const HOME: &str = "us-east-1";
/// A region that nobody uses: what is there is what a new one holds.
const NOWHERE: &str = "nowhere";

/// What the crates are told the account is, and what it is. The same twice for the account that they know.
#[derive(Debug, Clone)]
struct Accounts {
    theirs: &'static str,
    ours: String,
}

impl Accounts {
    fn differ(&self) -> bool {
        self.theirs != self.ours
    }

    /// Each for the other: doing it twice changes nothing.
    fn swap<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.differ() || !(text.contains(self.theirs) || text.contains(&self.ours)) {
            return Cow::Borrowed(text);
        }
        let parts: Vec<String> = text.split(self.theirs).map(|part| part.replace(&self.ours, self.theirs)).collect();
        Cow::Owned(parts.join(&self.ours))
    }

    fn swap_bytes(&self, body: Bytes) -> Bytes {
        match std::str::from_utf8(&body).map(|text| self.swap(text)) {
            Ok(Cow::Owned(text)) => Bytes::from(text),
            _ => body,
        }
    }

    /// In everything that a state view says.
    fn swap_view<V: View>(&self, view: Box<V>) -> Box<V> {
        if !self.differ() {
            return view;
        }
        let swapped = serde_json::to_string(&view).and_then(|text| serde_json::from_str(&self.swap(&text)));
        swapped.map(Box::new).unwrap_or_else(|error| {
            tracing::error!(%error, "the emulator cannot read its own state");
            view
        })
    }
}

/// The inner emulator of one place.
pub(crate) struct Emulator {
    services: Services,
    region: String,
    accounts: Accounts,
    picture: Arc<Mutex<Arc<Picture>>>,
    /// The services that were called or edited: the others hold nothing.
    used: Mutex<BTreeSet<Service>>,
    /// Of the services that were not written to since, what was saved or loaded last.
    clean: Mutex<BTreeMap<Service, Arc<dyn Any + Send + Sync>>>,
    first_id: u32,
}

/// An answer of the emulator.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of one service, as a whole.
trait View: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    const SERVICE: Service;

    /// The state in a region.
    fn take<'a>(emulator: &'a Emulator, region: &'a str) -> BoxFuture<'a, Box<Self>>;

    /// Makes this the state of the place.
    fn put(self: Box<Self>, emulator: &Emulator) -> BoxFuture<'_, ()>;

    /// Draws it. Nothing to do where the service shows its state by itself.
    fn draw(&self, picture: &mut Picture);
}

/// What is the same for every service: written once, because futures of a trait's methods are not known to be `Send`.
macro_rules! services {
    ($($name:ident: $service:ty, $view:ty, $which:ident, $draw:expr;)+) => {
        struct Services {
            $($name: $service,)+
        }

        impl Services {
            fn new() -> Self {
                Self { $($name: <$service>::new(),)+ }
            }
        }

        /// All that an emulator holds. What was never used is not there.
        #[derive(Clone, Default)]
        pub(crate) struct Saved {
            $($name: Option<Arc<$view>>,)+
        }

        $(impl View for $view {
            const SERVICE: Service = Service::$which;

            fn take<'a>(emulator: &'a Emulator, region: &'a str) -> BoxFuture<'a, Box<Self>> {
                Box::pin(async { Box::new(emulator.services.$name.snapshot(emulator.accounts.theirs, region).await) })
            }

            fn put(self: Box<Self>, emulator: &Emulator) -> BoxFuture<'_, ()> {
                Box::pin(async {
                    let restored = emulator.services.$name.restore(emulator.accounts.theirs, &emulator.region, *self);
                    if let Err(error) = restored.await {
                        tracing::error!(%error, "the emulator did not take its own state back");
                    }
                })
            }

            fn draw(&self, picture: &mut Picture) {
                let draw: fn(&Self, &mut Picture) = $draw;
                draw(self, picture);
            }
        })+

        impl Emulator {
            fn handle(&self, service: Service, request: MockRequest) -> Option<BoxFuture<'_, MockResponse>> {
                match service {
                    $(Service::$which => Some(self.services.$name.handle(request)),)+
                    _ => None,
                }
            }

            /// Takes the picture of one service again.
            async fn look(&self, service: Service) {
                match service {
                    $(Service::$which => self.look_at::<$view>().await,)+
                    _ => {}
                }
            }

            /// All that exists, to be loaded later, also into another emulator of the same place.
            pub(crate) async fn save(&self) -> Saved {
                Saved { $($name: self.save_one::<$view>().await,)+ }
            }

            /// Makes everything as it was.
            pub(crate) async fn load(&self, saved: &Saved) {
                $(self.load_one::<$view>(saved.$name.as_ref()).await;)+
            }
        }
    };
}

services! {
    ec2: Ec2Service, Ec2StateView, Ec2, |_, _| {};
    sts: StsService, StsStateView, Sts, |_, _| {};
    iam: IamService, IamStateView, Iam, |view, all| all.iam = Arc::new(iam::picture_of(view));
    rds: RdsService, RdsStateView, Rds, |view, all| all.rds = Arc::new(rds::picture_of(view));
    ecs: EcsService, EcsStateView, Ecs, |view, all| all.ecs = Arc::new(ecs::picture_of(view));
    ecr: EcrService, EcrStateView, Ecr, |view, all| all.ecr = Arc::new(ecr::picture_of(view));
    elb: ElasticLoadBalancingV2Service, Elbv2StateView, Elb, |view, all| all.elb = Arc::new(elb::picture_of(view));
    dynamodb: DynamoDbService, DynamodbStateView, DynamoDb,
        |view, all| all.dynamodb = Arc::new(dynamodb::picture_of(view));
    logs: CloudWatchLogsService, LogsStateView, Logs, |view, all| all.logs = Arc::new(logs::picture_of(view));
    cloudwatch: CloudWatchService, CloudwatchStateView, CloudWatch,
        |view, all| all.cloudwatch = Arc::new(cloudwatch::picture_of(view));
    sns: SnsService, SnsStateView, Sns, |view, all| all.sns = Arc::new(sns::picture_of(view));
    kms: KmsService, KmsStateView, Kms, |view, all| all.kms = Arc::new(kms::picture_of(view));
    secrets: SecretsManagerService, SecretsmanagerStateView, SecretsManager,
        |view, all| all.secrets = Arc::new(secrets::picture_of(view));
    discovery: ServiceDiscoveryService, ServiceDiscoveryStateView, CloudMap,
        |view, all| all.discovery = Arc::new(servicediscovery::picture_of(view));
    ssm: SsmService, SsmStateView, Ssm, |view, all| all.ssm = Arc::new(ssm::picture_of(view));
    s3: S3Service, S3StateView, S3, |view, all| all.s3 = Arc::new(s3::picture_of(view));
    lambda: LambdaService, LambdaStateView, Lambda, |view, all| all.lambda = Arc::new(lambda::picture_of(view));
    backup: BackupService, BackupStateView, Backup, |view, all| all.backup = Arc::new(backup::picture_of(view));
}

impl Emulator {
    /// An empty one. Its ids are counted from `first_id` on.
    pub(crate) fn new(place: &Place, first_id: u32) -> Self {
        let services = Services::new();
        let picture = Arc::new(Mutex::new(Arc::new(Picture::default())));
        // EC2 shows its state to listeners after every call that succeeded: its views are too large to take twice.
        let latest = Arc::clone(&picture);
        services.ec2.notifier().subscribe(move |_account, _region, view| {
            Arc::make_mut(&mut *lock(&latest)).ec2 = Arc::new(ec2::picture_of(view));
        });
        let region = if place.region == GLOBAL { HOME } else { &place.region };
        Self {
            services,
            region: region.to_owned(),
            accounts: Accounts { theirs: default_account_id(), ours: place.account.clone() },
            picture,
            used: Mutex::default(),
            clean: Mutex::default(),
            first_id,
        }
    }

    /// What exists now.
    pub(crate) fn picture(&self) -> Arc<Picture> {
        Arc::clone(&lock(&self.picture))
    }

    /// Whether it was not used before.
    fn note_use(&self, service: Service) -> bool {
        lock(&self.used).insert(service)
    }

    fn is_used(&self, service: Service) -> bool {
        lock(&self.used).contains(&service)
    }

    /// A view with the accounts swapped. EC2's is too large to be read whole, and no rule reads an account in it.
    fn swapped<V: View>(&self, view: Box<V>) -> Box<V> {
        if V::SERVICE == Service::Ec2 { view } else { self.accounts.swap_view(view) }
    }

    /// Changes the state of a service. What its view does not hold is lost.
    fn edit<'a, V: View>(&'a self, change: impl FnOnce(&mut V) + Send + 'a) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.note_use(V::SERVICE);
            self.note_write(V::SERVICE);
            let mut view = self.swapped(V::take(self, &self.region).await);
            change(&mut view);
            self.swapped(view).put(self).await;
            self.look_at::<V>().await;
        })
    }

    async fn look_at<V: View>(&self) {
        if matches!(V::SERVICE, Service::Ec2 | Service::Sts) {
            return;
        }
        let view = self.swapped(V::take(self, &self.region).await);
        view.draw(Arc::make_mut(&mut *lock(&self.picture)));
    }

    fn note_write(&self, service: Service) {
        lock(&self.clean).remove(&service);
    }

    fn note_clean<V: View>(&self, view: &Arc<V>) {
        lock(&self.clean).insert(V::SERVICE, Arc::clone(view) as Arc<dyn Any + Send + Sync>);
    }

    /// The state as it was saved or loaded last, if it is that still.
    fn clean<V: View>(&self) -> Option<Arc<V>> {
        lock(&self.clean).get(&V::SERVICE).cloned()?.downcast().ok()
    }

    async fn save_one<V: View>(&self) -> Option<Arc<V>> {
        if !self.is_used(V::SERVICE) {
            return None;
        }
        if let Some(view) = self.clean::<V>() {
            return Some(view);
        }
        let view = Arc::from(V::take(self, &self.region).await);
        self.note_clean(&view);
        Some(view)
    }

    async fn load_one<V: View>(&self, saved: Option<&Arc<V>>) {
        if let Some((saved, clean)) = saved.zip(self.clean::<V>())
            && Arc::ptr_eq(saved, &clean)
        {
            return;
        }
        let view = match saved {
            Some(view) => Box::new(V::clone(view)),
            None if self.is_used(V::SERVICE) => V::take(self, NOWHERE).await,
            None => return,
        };
        self.note_use(V::SERVICE);
        self.note_write(V::SERVICE);
        view.put(self).await;
        self.look_at::<V>().await;
        if let Some(saved) = saved {
            self.note_clean(saved);
        }
    }

    /// Passes on a call in the query protocol.
    pub(crate) async fn forward(&self, service: Service, params: &Params) -> Raw {
        // The emulator takes a plus sign for itself, so spaces must not be one.
        let write = is_write(params.action());
        self.post(service, write, HeaderMap::new(), params.encode().replace('+', "%20")).await
    }

    /// Passes on a call in JSON.
    pub(crate) async fn forward_json(&self, service: Service, action: &str, body: &Value) -> Raw {
        let mut headers = HeaderMap::new();
        if let Ok(target) = HeaderValue::from_str(&format!("{}.{action}", service.target())) {
            headers.insert("x-amz-target", target);
        }
        self.post(service, is_write(action), headers, body.to_string()).await
    }

    /// Passes on a call in REST. What an object holds is nobody's account.
    pub(crate) async fn forward_rest(&self, service: Service, write: bool, rest: &Rest) -> Raw {
        let Rest { method, path, headers, body } = rest;
        let is_text = service != Service::S3 || path.contains('?');
        let (path, body) =
            (self.accounts.swap(path), if is_text { self.accounts.swap_bytes(body.clone()) } else { body.clone() });
        self.send(service, write, method, &path, headers.clone(), body).await
    }

    /// Makes a call of its own in REST; gives back the reply.
    pub(crate) async fn act_rest(&self, service: Service, rest: &Rest) -> Result<Raw, Refusal> {
        let raw = self.forward_rest(service, true, rest).await;
        if raw.status < 300 { Ok(raw) } else { Err(raw.refusal(service)) }
    }

    async fn post(&self, service: Service, write: bool, headers: HeaderMap, body: String) -> Raw {
        let body = Bytes::from(self.accounts.swap(&body).into_owned());
        self.send(service, write, &Method::POST, "/", headers, body).await
    }

    async fn send(
        &self,
        service: Service,
        write: bool,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Raw {
        if write {
            self.note_write(service);
        }
        if self.note_use(service) && service == Service::Ec2 && self.first_id > 0 {
            self.edit(|view: &mut Ec2StateView| view.counters = counters_from(self.first_id)).await;
        }
        let request = MockRequest {
            method: method.to_string(),
            uri: format!("https://{}.{}.amazonaws.com{path}", service.name(), self.region),
            headers,
            body,
        };
        let Some(answer) = self.handle(service, request) else {
            return Raw { status: 501, headers: HeaderMap::new(), body: Bytes::new() };
        };
        let MockResponse { status, headers, body } = answer.await;
        if status < 300 && write {
            self.look(service).await;
        }
        Raw { status, headers, body: self.accounts.swap_bytes(body) }
    }

    /// Makes a call of its own to EC2; gives back the XML of the reply.
    pub(crate) async fn act(&self, call: Params) -> Result<String, Refusal> {
        self.act_on(Service::Ec2, call).await
    }

    /// Makes a call of its own in the query protocol; gives back the XML of the reply.
    pub(crate) async fn act_on(&self, service: Service, call: Params) -> Result<String, Refusal> {
        let raw = self.forward(service, &call).await;
        let body = String::from_utf8_lossy(&raw.body).into_owned();
        if raw.status < 300 { Ok(body) } else { Err(raw.refusal(service)) }
    }

    /// Makes a call of its own in JSON; gives back the reply.
    pub(crate) async fn act_json(&self, service: Service, action: &str, body: &Value) -> Result<Value, Refusal> {
        let raw = self.forward_json(service, action, body).await;
        if raw.status < 300 { Ok(raw.json()) } else { Err(raw.refusal(service)) }
    }

    /// Makes it empty. Ids of EC2 go on counting, so that nothing new is taken for something old.
    pub(crate) async fn clear(&self) {
        let counters = Ec2StateView::take(self, &self.region).await.counters;
        self.load(&Saved::default()).await;
        if self.is_used(Service::Ec2) {
            self.edit(|view: &mut Ec2StateView| view.counters = counters).await;
        }
    }
}

/// The counters of the resources that are made here, all from one number on.
fn counters_from(first: u32) -> CountersView {
    CountersView {
        vpc: first,
        subnet: first,
        igw: first,
        sg: first,
        sgr: first,
        rtb: first,
        rtbassoc: first,
        nacl: first,
        nacl_assoc: first,
        eip: first,
        eip_assoc: first,
        nat: first,
        vpc_endpoint: first,
        eni: first,
        eni_attach: first,
        vpc_cidr_assoc: first,
        instance: first,
        ..CountersView::default()
    }
}

impl Raw {
    /// The reply as it is, in REST.
    pub(crate) fn into_reply(self) -> Reply {
        Reply { status: self.status, headers: self.headers, body: self.body }
    }

    /// The body of a reply in JSON; an empty object when there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| Value::Object(serde_json::Map::new()))
    }

    /// The error in it. The emulator writes XML errors in several forms; all of them have these two elements.
    pub(crate) fn refusal(&self, service: Service) -> Refusal {
        let (code, message) = if matches!(service.protocol(), Protocol::Json | Protocol::RestJson) {
            let header = self.headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok()).map(str::to_owned);
            let body = self.json();
            let text = |names: [&str; 2]| names.iter().find_map(|name| body[name].as_str()).map(str::to_owned);
            let code =
                text(["__type", "code"]).or(header).map(|code| code.rsplit('#').next().unwrap_or_default().to_owned());
            (code, text(["message", "Message"]))
        } else {
            let body = String::from_utf8_lossy(&self.body);
            (text_of(&body, "Code").map(str::to_owned), text_of(&body, "Message").map(str::to_owned))
        };
        let code = code.unwrap_or_else(|| "InternalError".to_owned());
        let message = message.unwrap_or_else(|| "An internal error has occurred".to_owned());
        Refusal::new(code, message).with_status(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_swapped_and_swapped_back() {
        let accounts = Accounts { theirs: "123456789012", ours: "111122223333".to_owned() };
        let text = "arn:aws:iam::123456789012:role/a trusts arn:aws:iam::111122223333:root, not 999999999999";
        let swapped = accounts.swap(text);
        assert_eq!(swapped, "arn:aws:iam::111122223333:role/a trusts arn:aws:iam::123456789012:root, not 999999999999");
        assert_eq!(accounts.swap(&swapped), text);
    }
}
