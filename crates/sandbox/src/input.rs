//! A call as it came in, in whichever protocol: its action, and what was given with it.
//!
//! Rules that belong to a query service read [`Params`], those of a JSON or REST service read a [`Body`]; the fault layer
//! and the log of calls read neither, only what is common to both.

use serde_json::{Map, Value};

use crate::endpoint::Request;
use crate::query::{Params, Tags};
use crate::refusal::Refusal;
use crate::rest::{self, Rest};
use crate::service::{Protocol, Service};

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Such as `CreateVpc`; empty when the call does not say.
    pub(crate) action: String,
    form: Form,
    rest: Option<Rest>,
}

#[derive(Debug, Clone)]
enum Form {
    Query(Params),
    Json(Body),
    /// Not JSON although the service speaks it.
    Broken,
}

impl Input {
    /// Reads a request to this service. Where the service is not known, in JSON when it has a target, and otherwise in
    /// the query protocol.
    pub(crate) fn read(request: &Request, service: Option<Service>) -> Self {
        if let Some(service) = service.filter(|service| service.protocol().is_rest()) {
            let rest::Call { action, params, rest } = rest::read(service, request);
            let form = params.map_or(Form::Broken, |params| Form::Json(Body(params)));
            return Self { action: action.to_owned(), form, rest: Some(rest) };
        }
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let is_json = service.map_or(target.is_some(), |service| service.protocol() == Protocol::Json);
        if is_json {
            let action = target.and_then(|target| target.rsplit_once('.')).map_or("", |(_, action)| action);
            let body = request.body();
            let form = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
                Ok(Value::Object(map)) => Form::Json(Body(map)),
                _ => Form::Broken,
            };
            return Self { action: action.to_owned(), form, rest: None };
        }
        let params = Params::parse(request.uri().query(), request.body());
        Self { action: params.action().to_owned(), form: Form::Query(params), rest: None }
    }

    /// The parameters of a call in the query protocol.
    pub(crate) fn params(&self) -> Result<&Params, Refusal> {
        match &self.form {
            Form::Query(params) => Ok(params),
            Form::Json(_) | Form::Broken => Err(Refusal::unreadable()),
        }
    }

    /// A call in REST as it came: what is passed on, and the body where it is no JSON.
    pub(crate) fn rest(&self) -> Result<&Rest, Refusal> {
        self.rest.as_ref().ok_or_else(Refusal::unreadable)
    }

    /// The body of a call in JSON; of a call in REST also what its path and its query say, by the names of the
    /// parameters.
    pub(crate) fn body(&self) -> Result<&Body, Refusal> {
        match &self.form {
            Form::Json(body) => Ok(body),
            Form::Query(_) | Form::Broken => Err(Refusal::unreadable()),
        }
    }

    /// The client token, where the service has such a parameter.
    pub(crate) fn token(&self, service: Service) -> Option<&str> {
        let name = service.token()?;
        match &self.form {
            Form::Query(params) => params.get(name),
            Form::Json(body) => body.0.get(name).and_then(Value::as_str),
            Form::Broken => None,
        }
    }

    /// What was asked for, without the token: two calls with one token must be equal in it.
    pub(crate) fn asked(&self, service: Service) -> String {
        let token = service.token().unwrap_or_default();
        match &self.form {
            Form::Query(params) => params.without(&[token, "DryRun"]).encode(),
            Form::Json(Body(body)) => {
                let mut body = body.clone();
                body.remove(token);
                Value::Object(body).to_string()
            }
            Form::Broken => String::new(),
        }
    }

    /// Whether a read must not lag behind.
    pub(crate) fn is_consistent(&self) -> bool {
        const FLAG: &str = "ConsistentRead";
        let Form::Json(Body(body)) = &self.form else { return false };
        let by_table = body.get("RequestItems").and_then(Value::as_object);
        body.get(FLAG) == Some(&Value::Bool(true))
            || by_table.is_some_and(|all| all.values().all(|asked| asked.get(FLAG) == Some(&Value::Bool(true))))
    }

    /// Whether any parameter, however deep, has this value.
    pub(crate) fn has_value(&self, value: &str) -> bool {
        match &self.form {
            Form::Query(params) => params.has_value(value),
            Form::Json(Body(body)) => body.values().any(|held| holds(held, value)),
            Form::Broken => false,
        }
    }

    /// Every text that is given, with the name of the parameter that it is given for (`VpcId`, and of a list
    /// `SubnetId.2` that of the list), in the order of names.
    pub(crate) fn values(&self) -> Vec<(&str, &str)> {
        let mut all = Vec::new();
        match &self.form {
            Form::Query(params) => all.extend(params.values()),
            Form::Json(Body(body)) => body.iter().for_each(|(name, held)| collect(name, held, &mut all)),
            Form::Broken => {}
        }
        all
    }
}

fn collect<'a>(name: &'a str, held: &'a Value, all: &mut Vec<(&'a str, &'a str)>) {
    match held {
        Value::String(text) => all.push((name, text)),
        Value::Array(items) => items.iter().for_each(|held| collect(name, held, all)),
        Value::Object(map) => map.iter().for_each(|(name, held)| collect(name, held, all)),
        _ => {}
    }
}

impl From<Params> for Input {
    fn from(params: Params) -> Self {
        Self { action: params.action().to_owned(), form: Form::Query(params), rest: None }
    }
}

fn holds(held: &Value, value: &str) -> bool {
    match held {
        Value::String(text) => text == value,
        Value::Array(items) => items.iter().any(|held| holds(held, value)),
        Value::Object(map) => map.values().any(|held| holds(held, value)),
        _ => false,
    }
}

/// The body of a call in JSON.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Body(pub(crate) Map<String, Value>);

impl Body {
    /// A member that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A string; absent is `None`.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.typed(name, Value::as_str)
    }

    /// A string that must be there and not be empty.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| Refusal::null(name))
    }

    /// A boolean; absent is `None`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.typed(name, Value::as_bool)
    }

    /// A whole number; absent is `None`.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.typed(name, Value::as_i64)
    }

    /// A list of strings; absent is empty.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, Refusal> {
        let items = self.typed(name, Value::as_array)?.map(Vec::as_slice).unwrap_or_default();
        items.iter().map(|item| item.as_str().ok_or_else(Refusal::unreadable)).collect()
    }

    /// A list of objects; absent is empty.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<&Map<String, Value>>, Refusal> {
        let items = self.typed(name, Value::as_array)?.map(Vec::as_slice).unwrap_or_default();
        items.iter().map(|item| item.as_object().ok_or_else(Refusal::unreadable)).collect()
    }

    /// Tags in a list of objects, whose members each service calls by names of its own. Given twice, the last one is it.
    pub(crate) fn tags(&self, name: &str, key: &str, value: &str) -> Result<Tags, Refusal> {
        let of = |tag: &Map<String, Value>, name: &str| tag.get(name).and_then(Value::as_str).map(str::to_owned);
        self.objects(name)?
            .into_iter()
            .map(|tag| Ok((of(tag, key).ok_or_else(Refusal::unreadable)?, of(tag, value).unwrap_or_default())))
            .collect()
    }

    /// Tags in one object.
    pub(crate) fn tag_map(&self, name: &str) -> Result<Tags, Refusal> {
        let map = self.typed(name, Value::as_object)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(Refusal::unreadable);
        map.into_iter().flatten().map(|(key, value)| Ok((key.clone(), text(value)?))).collect()
    }

    fn typed<'a, T>(&'a self, name: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, Refusal> {
        self.get(name).map(|value| read(value).ok_or_else(Refusal::unreadable)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn ecs(action: &str, body: &str) -> Input {
        let request = http::Request::builder().header("x-amz-target", format!("{}.{action}", Service::Ecs.target()));
        Input::read(&request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap(), Some(Service::Ecs))
    }

    #[test]
    fn a_json_call_is_read() {
        let call = ecs("CreateCluster", r#"{"clusterName": "a", "settings": [{"name": "x"}], "clientToken": "t"}"#);
        assert_eq!((call.action.as_str(), call.token(Service::Ecs)), ("CreateCluster", Some("t")));
        assert!(call.has_value("a") && call.has_value("x") && !call.has_value("b"));
        assert_eq!(call.values(), [("clientToken", "t"), ("clusterName", "a"), ("name", "x")]);
        let body = call.body().unwrap();
        assert_eq!(body.required("clusterName").unwrap(), "a");
        assert_eq!(body.number("clusterName").unwrap_err().code, "SerializationException");
        assert!(body.required("nothing").is_err());
        assert_eq!(
            call.asked(Service::Ecs),
            ecs(
                "CreateCluster",
                &json!({"clientToken": "u",
            "settings": [{"name": "x"}], "clusterName": "a"})
                .to_string()
            )
            .asked(Service::Ecs)
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(ecs("X", "").body().is_ok());
        for bad in ["{", "[]", "a=b"] {
            assert_eq!(ecs("X", bad).body().unwrap_err().code, "SerializationException", "{bad}");
        }
    }

    #[test]
    fn tags_are_read_in_each_form() {
        let call = ecs("X", r#"{"tags": [{"TagKey": "a", "TagValue": "b"}, {"TagKey": "c"}], "map": {"a": "b"}}"#);
        let body = call.body().unwrap();
        let tags = body.tags("tags", "TagKey", "TagValue").unwrap();
        assert_eq!((tags["a"].as_str(), tags["c"].as_str()), ("b", ""));
        assert_eq!(body.tag_map("map").unwrap()["a"], "b");
        assert!(body.tags("none", "k", "v").unwrap().is_empty());
        assert!(body.tag_map("tags").is_err());
    }
}
