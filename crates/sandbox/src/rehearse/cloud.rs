//! One sandbox as a world: every call passes a tap on its way to the faults.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue};
use switchback_aws::{AwsConfig, AwsContext, AwsProvider};
use switchback_container::ask::RegistryAsk;
use switchback_data::command::CommandAsk;
use switchback_data::nats::ask::NatsAsk;
use switchback_data::postgres::PgAsk;
use switchback_engine::Cx;
use switchback_engine::cx::Contexts;
use switchback_engine::file::FileAsk;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::Provider;
use switchback_engine::remote::{Answers, Ask, Remote};
use switchback_model::plan::{Plan, Target};
use switchback_model::{ErrorClass, OpError, OpResult, RunId};
use switchback_probe::web::{HttpAsk, TcpAsk};
use switchback_rehearsal::world::{Call, Fault, Look, Reply, Saved, Tap, Turn, World};

use super::{QUIET, SETTLE, look};
use crate::client::Client;
use crate::endpoint::{Cut, Endpoint, Request, Response, Scope};
use crate::faults::{Effect, Fault as Planned, Faults, Meddling, When};
use crate::models;
use crate::refusal::Refusal;
use crate::rest;
use crate::rules::{World as Places, is_write};
use crate::sandbox::{Sandbox, Snapshot};
use crate::service::Service;

/// How late a write lands, how far a read lags, how slow a reply is: within the quiet period, and the timeout of a call.
const LATE: Duration = Duration::from_secs(20);

/// The sandbox of one thread.
pub struct Cloud {
    sandbox: Sandbox,
    run: RunId,
    tap: Arc<Slot>,
    contexts: Contexts,
    /// For a run that begins, and for one that goes on.
    providers: [Vec<Arc<dyn Provider>>; 2],
    seen: Mutex<(look::Memo, Option<Seen>)>,
}

/// The last look, and what it was taken of.
struct Seen {
    places: Places,
    look: Arc<Look>,
}

type Slot = Mutex<Option<Arc<dyn Tap>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cloud {
    /// An empty one, which plays the account and region of the plan's target.
    ///
    /// # Errors
    /// When the plan has no target in AWS.
    pub async fn new(plan: &Plan, run: RunId) -> Result<Self, String> {
        let Some((_, own)) = plan.target.all().next() else {
            return Err("the plan has no target in AWS, which is all that can be rehearsed".to_owned());
        };
        let sandbox = Sandbox::builder().account(&own.account).region(&own.region).settle(SETTLE).build();
        sandbox.seed(|models| models.seed(plan)).await;
        let tap = Arc::new(Slot::default());
        let tapped = Tapped { inner: sandbox.endpoint(), sandbox: sandbox.clone(), tap: tap.clone() };
        let tapped = Arc::new(tapped);
        let client = SharedHttpClient::new(Client(tapped.clone()));
        let line = Line { endpoint: tapped, account: own.account.clone(), region: own.region.clone() };
        let mut contexts = line.contexts();
        let mut providers: [Vec<Arc<dyn Provider>>; 2] = Default::default();
        for (name, target) in plan.target.all() {
            // In the sandbox the id of an access key is the account that it belongs to.
            let config = AwsConfig::endpoint(&target.region, "http://127.0.0.1:1", &target.account, "in-process");
            let config = AwsConfig { http_client: Some(client.clone()), ..config.with_quiet(QUIET) };
            let context = AwsContext::new(config).await;
            let provider = || {
                let provider = AwsProvider::new(context.clone(), target.account.clone(), "switchback");
                provider.named(name).sweeping_for(plan)
            };
            providers[0].push(Arc::new(provider().for_plan(plan)));
            providers[1].push(Arc::new(provider()));
            contexts = match name {
                Target::AWS => contexts.with(context),
                _ => contexts.with_named(name, context),
            };
        }
        Ok(Self { sandbox, run, tap, contexts, providers, seen: Mutex::default() })
    }

    /// The sandbox itself.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl World for Cloud {
    fn contexts(&self) -> Contexts {
        self.contexts.clone()
    }

    fn providers(&self, begins: bool) -> Vec<Arc<dyn Provider>> {
        self.providers[usize::from(!begins)].clone()
    }

    fn tap(&self, tap: Option<Arc<dyn Tap>>) {
        *lock(&self.tap) = tap;
    }

    fn save(&self) -> Option<Saved> {
        Some(Arc::new(self.sandbox.snapshot().now_or_never()?))
    }

    fn load<'a>(&'a self, saved: &'a Saved) -> BoxFuture<'a, ()> {
        Box::pin(async {
            self.sandbox.faults().clear();
            if let Some(snapshot) = saved.downcast_ref::<Snapshot>() {
                self.sandbox.restore(snapshot).await;
            }
        })
    }

    fn look(&self) -> Option<Arc<Look>> {
        let places = self.sandbox.places().now_or_never()?;
        let mut seen = lock(&self.seen);
        let (memo, seen) = &mut *seen;
        if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(&seen.places, &places)) {
            let look = look::look(&self.sandbox, &places, self.run, memo);
            // Every rehearsal of a debug build is a test of what is remembered.
            debug_assert_eq!(look, look::look(&self.sandbox, &places, self.run, &mut look::Memo::default()));
            *seen = Some(Seen { places: places.clone(), look: Arc::new(look) });
        }
        let seen = seen.as_mut()?;
        let unsettled = look::unsettled(&self.sandbox, &places, &seen.look.ids);
        if unsettled != seen.look.unsettled {
            seen.look = Arc::new(Look { unsettled, ..(*seen.look).clone() });
        }
        Some(seen.look.clone())
    }

    fn knows(&self, fault: Fault, call: &Call) -> bool {
        // One server that answers of what it holds now, and where nothing takes time.
        let modelled = Service::named(&call.service).is_some_and(Service::is_modelled);
        !(modelled && matches!(fault, Fault::Lags | Fault::Stuck))
    }

    fn mend(&self) {
        self.sandbox.faults().clear();
        // What was stuck goes on when somebody looks.
        let _ = self.sandbox.places().now_or_never();
    }
}

/// Between the SDK and the faults.
struct Tapped {
    inner: Arc<dyn Endpoint>,
    sandbox: Sandbox,
    tap: Arc<Slot>,
}

impl Tapped {
    fn in_flight(&self, request: &Request) -> Option<Saved> {
        let snapshot = self.sandbox.snapshot().now_or_never()?;
        Some(Arc::new(snapshot.with_late(request.clone(), LATE)))
    }

    async fn answer(&self, request: Request) -> Result<Response, Cut> {
        let tap = lock(&self.tap).clone();
        let Some(tap) = tap else { return self.inner.call(request).await };
        let call = describe(&request);
        match tap.before(&call, &|| self.in_flight(&request)) {
            Turn::Never => return std::future::pending().await,
            Turn::Fault(fault) => arm(&self.sandbox.faults(), fault, &call),
            Turn::Go => {}
        }
        let outcome = self.inner.call(request).await;
        let reply = match &outcome {
            Ok(response) => Reply {
                status: Some(response.status().as_u16()),
                code: (!response.status().is_success()).then(|| Refusal::code_in(response)).flatten(),
            },
            Err(_) => Reply::default(),
        };
        if tap.after(&call, &reply) { outcome } else { std::future::pending().await }
    }
}

impl Endpoint for Tapped {
    fn call(&self, request: Request) -> futures_util::future::BoxFuture<'_, Result<Response, Cut>> {
        self.answer(request).boxed()
    }
}

/// To the models of what is not AWS: their calls pass the same tap, and meet the same faults.
#[derive(Clone)]
struct Line {
    endpoint: Arc<dyn Endpoint>,
    account: String,
    region: String,
}

/// The models in a sandbox, with what the steps of the plan find there before a run.
pub async fn models(sandbox: &Sandbox, plan: &Plan) -> Contexts {
    sandbox.seed(|models| models.seed(plan)).await;
    let (account, region) = (sandbox.settings().account.clone(), sandbox.settings().region.clone());
    Line { endpoint: sandbox.endpoint(), account, region }.contexts()
}

impl Line {
    /// Everything that has a model.
    fn contexts(&self) -> Contexts {
        Contexts::new()
            .with::<Answers<CommandAsk>>(Arc::new(self.clone()))
            .with::<Answers<FileAsk>>(Arc::new(self.clone()))
            .with::<Answers<PgAsk>>(Arc::new(self.clone()))
            .with::<Answers<NatsAsk>>(Arc::new(self.clone()))
            .with::<Answers<HttpAsk>>(Arc::new(self.clone()))
            .with::<Answers<RegistryAsk>>(Arc::new(self.clone()))
            .with::<Answers<TcpAsk>>(Arc::new(self.clone()))
    }

    fn request<A: Ask>(&self, cx: &Cx, ask: &A) -> Request {
        let (service, action, step) = (A::SERVICE, ask.action(), cx.step().as_tag_value());
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            self.account, self.region
        );
        let mut request = Request::new(Bytes::from(models::body_of(ask).to_string()));
        let headers = [
            (AUTHORIZATION, signed),
            (HeaderName::from_static("x-amz-target"), format!("{service}.{action}")),
            (USER_AGENT, format!("run/{} step/{step}", cx.run())),
        ];
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

impl<A: Ask> Remote<A> for Line {
    fn ask<'a>(&'a self, cx: &'a Cx, ask: A) -> BoxFuture<'a, OpResult<A::Answer>> {
        Box::pin(async move {
            let lost = if ask.writes() { ErrorClass::Ambiguous } else { ErrorClass::Transient };
            let response = self.endpoint.call(self.request(cx, &ask)).await.map_err(|cut| match cut {
                Cut::Refused => OpError::new(ErrorClass::Transient, "the connection was refused"),
                Cut::NoReply => OpError::new(lost, "the connection was lost"),
            })?;
            if response.status().is_success() {
                return models::reply_of::<A>(response.body());
            }
            // What stands in front of a model speaks as AWS does.
            let code = Refusal::code_in(&response).unwrap_or_default();
            let class = match code.as_str() {
                "ThrottlingException" => ErrorClass::Transient,
                "ExpiredTokenException" => ErrorClass::Unavailable,
                _ if response.status().is_server_error() => lost,
                _ => ErrorClass::Permanent,
            };
            Err(OpError::new(class, format!("{} of {} was refused", ask.action(), A::SERVICE)).with_code(code))
        })
    }
}

/// What comes, without reading more of it than that takes.
fn describe(request: &Request) -> Call {
    let scope = Scope::of(request);
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let service = scope.as_ref().and_then(|scope| Service::named(&scope.service));
    let action = match (service, header("x-amz-target").and_then(|target| target.rsplit_once('.'))) {
        (Some(service), _) if service.protocol().is_rest() => rest::action(service, request).to_owned(),
        (_, Some((_, action))) => action.to_owned(),
        _ => form_urlencoded::parse(request.body())
            .find(|(name, _)| name == "Action")
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default(),
    };
    let step = header("user-agent").and_then(|agent| agent.rsplit_once(" step/")).map(|(_, step)| step.to_owned());
    let mut asks = DefaultHasher::new();
    request.uri().path_and_query().map(|path| path.as_str()).hash(&mut asks);
    request.body().hash(&mut asks);
    Call {
        service: scope.map(|scope| scope.service).unwrap_or_default(),
        write: is_write(&action),
        action,
        step,
        asks: asks.finish(),
    }
}

/// What goes wrong with the call that comes next, which is this one.
fn arm(faults: &Faults, fault: Fault, call: &Call) {
    let late = u64::try_from(LATE.as_millis()).unwrap_or(u64::MAX);
    let error = |when| Effect::Error { status: 500, code: "InternalError".into(), message: None, when };
    let effect = match fault {
        Fault::Throttled => Effect::Throttle,
        Fault::ErrorBefore => error(When::Before),
        Fault::ErrorAfter => error(When::After),
        Fault::ReplyLost => Effect::ReplyLost { wait_ms: 0 },
        Fault::Reset => Effect::RequestLost { wait_ms: 0 },
        Fault::Refused => Effect::Refuse,
        Fault::LandsLate => Effect::Late { delay_ms: late, wait_ms: 0 },
        Fault::Slow => Effect::Slow { ms: late },
        Fault::Lags => Effect::Lag { ms: late },
        Fault::Stuck => Effect::Stuck,
        Fault::Denied => Effect::Deny,
        Fault::Changed => Effect::Meddle { how: Meddling::Change },
        Fault::Deleted => Effect::Meddle { how: Meddling::Delete },
        Fault::Expired => Effect::Expire,
    };
    faults.add(Planned::new(&call.action, effect).service(&call.service));
}

/// Ids, and what they are called.
pub(super) type Names = HashMap<String, String>;
