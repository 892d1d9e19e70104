//! DynamoDB as a test says that it answers, in the same process.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use switchback_aws::{AwsConfig, AwsContext};
use switchback_engine::cx::Contexts;

/// From the name of a call and its body to the status and the body of the reply.
type Answers = dyn FnMut(&str, &Value) -> (u16, Value) + Send;

#[derive(Clone)]
struct Scripted(Arc<Mutex<Answers>>);

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl HttpClient for Scripted {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let action = target.split('.').next_back().unwrap_or_default();
        let body = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let (status, reply) = self.0.lock().unwrap()(action, &body);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(reply.to_string()))))
    }
}

/// Contexts with an AWS that answers so.
pub(crate) async fn answering(answers: impl FnMut(&str, &Value) -> (u16, Value) + Send + 'static) -> Contexts {
    let client = SharedHttpClient::new(Scripted(Arc::new(Mutex::new(answers))));
    Contexts::new().with(AwsContext::new(AwsConfig::in_process("us-east-1", client)).await)
}
