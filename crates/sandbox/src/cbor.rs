//! CBOR outside, JSON inside: a call in Smithy's RPC v2 protocol is made one with a target and a body in JSON where it
//! comes in, and the reply is made CBOR again where it goes out. So nothing behind the door knows of it.

use bytes::Bytes;
use ciborium::Value as Cbor;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::endpoint::{Request, Response};

const PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
const RPC_V2: HeaderValue = HeaderValue::from_static("rpc-v2-cbor");
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Where services that once spoke the query protocol write the code of an error, and whose fault it is.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
/// The tag of a time in seconds.
const SECONDS: u64 = 1;

/// The call in JSON, and whether it came in CBOR. What is no CBOR becomes no JSON.
pub(crate) fn read(request: Request) -> (Request, bool) {
    if request.headers().get(PROTOCOL) != Some(&RPC_V2) {
        return (request, false);
    }
    let (mut parts, body) = request.into_parts();
    // `/service/NAME/operation/ACTION`.
    let mut path = parts.uri.path().split('/').skip(2).step_by(2);
    let target = format!("{}.{}", path.next().unwrap_or_default(), path.next().unwrap_or_default());
    if let Ok(target) = HeaderValue::from_str(&target) {
        parts.headers.insert(TARGET, target);
    }
    let body = match ciborium::from_reader::<Cbor, _>(body.as_ref()) {
        _ if body.is_empty() => Bytes::new(),
        Ok(value) => Bytes::from(json(value).to_string()),
        Err(_) => Bytes::from_static(b"!"),
    };
    (Request::from_parts(parts, body), true)
}

/// The reply in CBOR.
pub(crate) fn write(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let value: Value = serde_json::from_slice(&body).unwrap_or_else(|_| Value::Object(Map::new()));
    let mut out = Vec::new();
    if let Err(error) = ciborium::into_writer(&cbor("", value), &mut out) {
        tracing::error!(%error, "a reply could not be written in CBOR");
    }
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
    parts.headers.insert(PROTOCOL, RPC_V2);
    let code = parts.headers.remove(ERROR_TYPE);
    if let Some(code) = code.as_ref().and_then(|code| code.to_str().ok()) {
        let whose = if parts.status.is_server_error() { "Receiver" } else { "Sender" };
        if let Ok(value) = HeaderValue::from_str(&format!("{code};{whose}")) {
            parts.headers.insert(QUERY_ERROR, value);
        }
    }
    Response::from_parts(parts, Bytes::from(out))
}

fn json(value: Cbor) -> Value {
    match value {
        Cbor::Bool(is) => is.into(),
        Cbor::Integer(number) => i64::try_from(number).map_or(Value::Null, Value::from),
        Cbor::Float(number) => number.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Tag(_, inner) => json(*inner),
        Cbor::Array(items) => items.into_iter().map(json).collect(),
        Cbor::Map(pairs) => {
            let pair = |(key, value): (Cbor, Cbor)| Some((key.into_text().ok()?, json(value)));
            Value::Object(pairs.into_iter().filter_map(pair).collect())
        }
        _ => Value::Null,
    }
}

/// A time is what its member's name says is one.
fn cbor(name: &str, value: Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(is) => is.into(),
        Value::Number(number) if name.ends_with("Timestamp") => {
            Cbor::Tag(SECONDS, Box::new(number.as_f64().unwrap_or_default().into()))
        }
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => Cbor::Array(items.into_iter().map(|item| cbor(name, item)).collect()),
        Value::Object(map) => {
            Cbor::Map(map.into_iter().map(|(name, value)| (Cbor::from(name.as_str()), cbor(&name, value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_goes_through_and_times_are_tagged() {
        let value = json!({"Name": "a", "Threshold": 1.0, "Period": 60, "On": true, "List": [{"x": null}]});
        assert_eq!(super::json(cbor("", value.clone())), value);
        let Cbor::Map(all) = cbor("", json!({"StateUpdatedTimestamp": 1.5})) else { panic!("it is a map") };
        assert_eq!(all[0].1, Cbor::Tag(SECONDS, Box::new(Cbor::Float(1.5))));
    }

    #[test]
    fn a_call_gets_a_target_and_a_reply_its_code() {
        let mut body = Vec::new();
        ciborium::into_writer(&cbor("", json!({"AlarmNames": ["a"]})), &mut body).unwrap();
        let request = http::Request::post("/service/Granite/operation/DeleteAlarms").header(PROTOCOL, RPC_V2);
        let (request, is_cbor) = read(request.body(Bytes::from(body)).unwrap());
        assert_eq!((request.headers()[TARGET].as_bytes(), is_cbor), (&b"Granite.DeleteAlarms"[..], true));
        assert_eq!(request.body(), r#"{"AlarmNames":["a"]}"#);
        let mut reply = Response::new(Bytes::from_static(br#"{"__type":"ResourceNotFound"}"#));
        *reply.status_mut() = http::StatusCode::NOT_FOUND;
        reply.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static("ResourceNotFound"));
        assert_eq!(write(reply).headers()[QUERY_ERROR], "ResourceNotFound;Sender");
    }
}
