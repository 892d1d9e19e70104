//! A `Cx` for the unit tests, which keeps what was called and can close its fence; and an endpoint
//! that answers as scripted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use switchback_engine::Cx;
use switchback_engine::cx::{Clock, Contexts, CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_engine::secrets::Secrets;
use switchback_model::record::Called;
use switchback_model::{ErrorClass, Generation, OpError, OpResult, RunId, StepId};
use tokio::time::Instant;

use crate::{AwsConfig, AwsContext};

/// What a test can see and set.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) calls: Mutex<Vec<Called>>,
    pub(crate) closed: AtomicBool,
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

impl Fence for Watch {
    fn check(&self) -> OpResult<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(OpError::new(ErrorClass::Unavailable, "another executor has taken over"));
        }
        Ok(())
    }
}

impl CxSink for Watch {
    fn progress(&self, _: &StepId, _: &str) {}

    fn called(&self, _: &StepId, _: Generation, call: Called) {
        self.calls.lock().unwrap().push(call);
    }
}

/// A step's context, and what it is watched by.
pub(crate) async fn watched(step: &str, config: AwsConfig) -> (Cx, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    let run = RunCx {
        run: RunId::new(uuid::Uuid::from_u128(7)),
        tag_prefix: "switchback".into(),
        clock: watch.clone(),
        contexts: Contexts::new().with(AwsContext::new(config).await),
        secrets: Secrets::none(),
        fence: watch.clone(),
        sink: watch.clone(),
        control: Control::new(),
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    (Cx::new(Arc::new(run), StepId::new(step), Generation::FIRST, "token", deadline), watch)
}

/// A step's context.
pub(crate) async fn cx(step: &str, config: AwsConfig) -> Cx {
    watched(step, config).await.0
}

/// How a scripted endpoint answers one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With a status and a body.
    Reply(u16, &'static str),
    /// No connection stood.
    Refused,
    /// The connection broke after the request was sent.
    Reset,
    /// Never.
    Silence,
}

/// An endpoint that answers as scripted, and keeps the `User-Agent` and the body of each request. What is
/// beyond the script is a reset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<std::collections::VecDeque<Answer>>>,
    pub(crate) agents: Arc<Mutex<Vec<String>>>,
    pub(crate) bodies: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    /// How to reach it.
    pub(crate) fn config(&self) -> AwsConfig {
        AwsConfig::in_process("us-east-1", SharedHttpClient::new(self.clone()))
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.agents.lock().unwrap().len()
    }
}

impl HttpClient for Script {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let agent = request.headers().get("user-agent").unwrap_or_default().to_owned();
        self.agents.lock().unwrap().push(agent);
        let body = request.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
        self.bodies.lock().unwrap().push(body.into_owned());
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Reset);
        HttpConnectorFuture::new(async move {
            let io = |text: &str| ConnectorError::io(text.into());
            match answer {
                Answer::Reply(status, body) => {
                    let status = status.try_into().map_err(|_| io("no such status"))?;
                    Ok(HttpResponse::new(status, SdkBody::from(body)))
                }
                Answer::Refused => Err(io("refused").never_connected()),
                Answer::Reset => Err(io("reset")),
                Answer::Silence => std::future::pending().await,
            }
        })
    }
}
