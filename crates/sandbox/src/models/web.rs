//! The model of web servers and of ports that probes ask: they answer as the probes of the plan expect.
//!
//! What a probe expects is CEL, which this does not solve: it reads the comparisons with a value in it, as in
//! `body.status == "healthy" && body.metrics.agents_active >= 3`, and answers a document in which each of them holds.

use serde_json::{Map, Value, json};
use switchback_model::OpResult;
use switchback_model::plan::Plan;
use switchback_probe::web::{HttpAnswer, HttpAsk, TcpAnswer, TcpAsk};

use super::{Model, Modelled};

/// Every web server of a plan, with one document for all.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    status: u16,
    body: Value,
}

impl Default for Web {
    fn default() -> Self {
        Self { status: 200, body: Value::Object(Map::new()) }
    }
}

impl Web {
    /// The answer that the probes of this plan expect.
    pub(crate) fn seed(&mut self, plan: &Plan) {
        for step in plan.steps.iter().filter(|step| step.op == "probe.http") {
            if let Some(status) = step.params.known(&["status"]).and_then(Value::as_u64) {
                self.status = u16::try_from(status).unwrap_or(self.status);
            }
            if let Some(expect) = step.params.known(&["expect"]).and_then(Value::as_str) {
                for (path, value) in comparisons(expect) {
                    put(&mut self.body, &path, value);
                }
            }
        }
    }
}

/// Each `body.a.b == value` of an expression, or another comparison with a number, and a value for which it holds.
fn comparisons(expression: &str) -> Vec<(Vec<String>, Value)> {
    let one = |part: &str| {
        let part = part.trim_matches(|c: char| c.is_whitespace() || c == '(' || c == ')');
        let (operator, at) = ["==", ">=", "<=", ">", "<"].iter().find_map(|op| Some((*op, part.find(op)?)))?;
        let (path, value) = (part[..at].trim().strip_prefix("body.")?, part[at + operator.len()..].trim());
        let value: Value = serde_json::from_str(&value.replace('\'', "\"")).ok()?;
        let value = match (operator, value.as_i64()) {
            (">", Some(n)) => json!(n + 1),
            ("<", Some(n)) => json!(n - 1),
            _ => value,
        };
        Some((path.split('.').map(str::to_owned).collect(), value))
    };
    expression.split("&&").filter_map(one).collect()
}

fn put(body: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *body = value;
        return;
    };
    if !body.is_object() {
        *body = Value::Object(Map::new());
    }
    if let Value::Object(map) = body {
        put(map.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}

impl Model for Web {
    type Ask = HttpAsk;

    fn answer(&mut self, ask: HttpAsk) -> OpResult<HttpAnswer> {
        let body = match ask {
            HttpAsk::Get(_) => self.body.to_string(),
            HttpAsk::Head(_) => String::new(),
        };
        let headers = [("content-type".to_owned(), "application/json".to_owned())].into();
        Ok(HttpAnswer { status: self.status, headers, body })
    }

    fn things(&self) -> Vec<Modelled> {
        Vec::new()
    }

    fn meddle(&mut self, _id: &str, _delete: bool) -> bool {
        false
    }
}

/// Every port is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ports;

impl Model for Ports {
    type Ask = TcpAsk;

    fn answer(&mut self, ask: TcpAsk) -> OpResult<TcpAnswer> {
        let TcpAsk::Connect { address, .. } = ask;
        Ok(TcpAnswer { peer: address })
    }

    fn things(&self) -> Vec<Modelled> {
        Vec::new()
    }

    fn meddle(&mut self, _id: &str, _delete: bool) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_what_an_expectation_compares() {
        let mut body = Value::Null;
        let expectation =
            r#"status == 200 && body.status == "healthy" && (body.a.n > 3 && body.a.ok == true) && body.x <= 7"#;
        for (path, value) in comparisons(expectation) {
            put(&mut body, &path, value);
        }
        assert_eq!(body, json!({"status": "healthy", "a": {"n": 4, "ok": true}, "x": 7}));
    }
}
