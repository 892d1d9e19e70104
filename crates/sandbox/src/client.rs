//! The HTTP client of the AWS SDK, without sockets: it hands requests to an [`Endpoint`].

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use crate::cbor;
use crate::endpoint::{Cut, Endpoint, Request};

/// An in-process client.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<dyn Endpoint>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(sandbox)")
    }
}

impl HttpClient for Client {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let endpoint = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let (request, is_cbor) = cbor::read(read(request)?);
            let response = endpoint.call(request).await.map_err(|cut| match cut {
                Cut::Refused => ConnectorError::io(cut.into()).never_connected(),
                Cut::NoReply => ConnectorError::io(cut.into()),
            })?;
            let response = if is_cbor { cbor::write(response) } else { response };
            HttpResponse::try_from(response.map(SdkBody::from)).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}

fn read(request: HttpRequest) -> Result<Request, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().map(Bytes::copy_from_slice);
    let body = body.ok_or_else(|| ConnectorError::user("the sandbox takes no streamed bodies".into()))?;
    Ok(Request::from_parts(parts, body))
}
