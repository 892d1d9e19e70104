//! `probe.http`: a web server answers as it should.
//!
//! It is asked again and again until it answered so several times in a row, or `within` is over; then the error
//! says what the last answer was. `verify` asks once more.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict, cel};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::time::Instant;

use crate::span::Span;
use crate::web::{HttpAnswer, HttpAsk, HttpRequest};

/// The pause between two requests.
const POLL: Duration = Duration::from_secs(2);
/// How long one answer may take where nothing is said, in seconds.
const TIMEOUT: u32 = 10;
/// How much of an answer is shown.
const SHOWN: usize = 400;
/// Headers that hold what nobody should read in a journal.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];
/// What an expectation sees.
const VARIABLES: [&str; 3] = ["status", "body", "headers"];

/// A request that must be answered as it should. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpParams {
    /// What is asked for, `https://example.com/health`. Redirects are not followed.
    pub url: String,
    /// How. Default: GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Headers by name. Nothing hides them: give no passwords.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The host and port to connect to instead of those of the URL, `10.0.1.5:8443`: the server still sees the URL's
    /// host, and its certificate must be of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<String>,
    /// The status of a good answer. Default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What must be so of a good answer besides, in CEL: `status`, `body` (its JSON, or else its text) and `headers` (by
    /// name in lower case).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// For how long it is asked again.
    pub within: Span,
    /// How long one answer may take. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How many good answers there must be in a row. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<u32>,
}

/// How a web server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// For all of it.
    Get,
    /// Without the body.
    Head,
}

/// There is nothing that a request could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpBefore {}

/// A probe has no output: what it saw may be otherwise by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpOutput {}

/// `probe.http`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Http;

impl HttpParams {
    fn ask(&self) -> HttpAsk {
        let timeout = self.timeout.clone().unwrap_or_else(|| Span::seconds(TIMEOUT)).time();
        let request = HttpRequest {
            url: self.url.clone(),
            headers: self.headers.clone(),
            connect_to: self.connect_to.clone(),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        match self.method {
            Some(HttpMethod::Head) => HttpAsk::Head(request),
            Some(HttpMethod::Get) | None => HttpAsk::Get(request),
        }
    }

    fn wanted(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// Compares an answer with what it should be.
    fn judged(&self, answer: &HttpAnswer) -> Verdict {
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| answer.body.clone().into());
        let (status, headers) = (json!(answer.status), json!(answer.headers));
        let mut verdict = Verdict::new().compare(format!("the status of {}", self.url), self.wanted(), answer.status);
        if let Some(expect) = &self.expect {
            let vars = [("status", &status), ("body", &body), ("headers", &headers)];
            let holds = cel::compile(expect).map_err(|e| e.to_string()).and_then(|it| cel::eval_bool(&it, &vars));
            // What cannot be decided does not hold, and says why.
            let got = holds.map_or_else(Value::String, Value::Bool);
            verdict = verdict.compare(expect.as_str(), true, got);
        }
        verdict.observed = json!({"status": status, "body": body, "headers": headers});
        verdict
    }
}

/// What an answer was, and why it is not good.
fn described(verdict: &Verdict) -> String {
    let wrong: Vec<String> = verdict
        .compared
        .iter()
        .filter(|c| !c.holds())
        .map(|c| format!("{} should be {}, is {}", c.what, c.want, c.got))
        .collect();
    format!("{}; the answer was {} {}", wrong.join("; "), verdict.observed["status"], cut(&verdict.observed["body"]))
}

/// The beginning of a body.
fn cut(body: &Value) -> String {
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn check_url(url: &str, connect_to: Option<&str>, errors: &mut Vec<ParamError>) {
    let mut wrong = |field: &str, message: &str| errors.push(ParamError::new(field, message));
    match url.parse::<Url>() {
        Err(e) => wrong("url", &format!("{url:?} is no URL: {e}")),
        Ok(it) if !["http", "https"].contains(&it.scheme()) => wrong("url", "begins with `http://` or `https://`"),
        Ok(it) if !it.username().is_empty() || it.password().is_some() => {
            wrong("url", "holds a name or a password; nothing hides them there");
        }
        // A number needs no other address, and a certificate is of a name.
        Ok(it) if connect_to.is_some() && it.domain().is_none() => wrong("connect_to", "needs a name in `url`"),
        Ok(_) => {}
    }
    if let Some(address) = connect_to {
        check_address(address, "connect_to", errors);
    }
}

/// A host and a port.
pub(crate) fn check_address(address: &str, field: &str, errors: &mut Vec<ParamError>) {
    let fits = address.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && bare && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !fits {
        errors.push(ParamError::new(field, format!("{address:?} is not a host and a port such as `10.0.1.5:8443`")));
    }
}

fn check_expectation(text: &str, errors: &mut Vec<ParamError>) {
    match cel::compile(text) {
        Err(e) => {
            let at = e.position.map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default();
            errors.push(ParamError::new("expect", format!("{e}{at}")));
        }
        Ok(program) if !program.variables().iter().any(|name| VARIABLES.contains(&name.as_str())) => {
            errors.push(ParamError::new("expect", format!("looks at none of {}", VARIABLES.join(", "))));
        }
        Ok(_) => {}
    }
}

impl Operation for Http {
    const KIND: &'static str = "probe.http";
    const VERSION: u32 = 1;
    type Params = HttpParams;
    type Before = HttpBefore;
    type Output = HttpOutput;

    fn facts(&self, params: &HttpParams) -> Facts {
        let timeout = params.timeout.clone().unwrap_or_else(|| Span::seconds(TIMEOUT)).time();
        let create_deadline = params.within.time().saturating_add(timeout.saturating_mul(4));
        let call = if params.method == Some(HttpMethod::Head) { "http:GetHead" } else { "http:Get" };
        Facts { create_deadline, reads: vec![call.into()], ..Facts::without_effect() }
    }

    fn example() -> Option<HttpParams> {
        Some(HttpParams {
            url: "https://app.example.com/health".to_owned(),
            method: Some(HttpMethod::Get),
            headers: BTreeMap::from([("accept".to_owned(), "application/json".to_owned())]),
            connect_to: Some("10.0.1.5:8443".to_owned()),
            status: Some(200),
            expect: Some("body.status == 'ok' && body.agents_active > 0".to_owned()),
            within: Span::seconds(300),
            timeout: Some(Span::seconds(5)),
            consecutive: Some(3),
        })
    }

    fn check(&self, params: &HttpParams) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_url(&params.url, params.connect_to.as_deref(), &mut errors);
        for (name, value) in &params.headers {
            if name.parse::<HeaderName>().is_err() || HeaderValue::from_str(value).is_err() {
                errors.push(ParamError::new("headers", format!("`{name}` is not a header that can be sent")));
            }
            if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
                errors.push(ParamError::new("headers", format!("`{name}` holds a secret, and nothing hides it")));
            }
        }
        if params.status.is_some_and(|status| !(100..=599).contains(&status)) {
            errors.push(ParamError::new("status", "is between 100 and 599"));
        }
        if let Some(expect) = &params.expect {
            check_expectation(expect, &mut errors);
        }
        if params.consecutive.is_some_and(|times| !(1..=1000).contains(&times)) {
            errors.push(ParamError::new("consecutive", "is between 1 and 1000"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, _cx: &Cx, _params: &HttpParams) -> OpResult<HttpBefore> {
        Ok(HttpBefore {})
    }

    async fn create(&self, _cx: &Cx, _params: &HttpParams, _before: &HttpBefore) -> OpResult<HttpOutput> {
        Ok(HttpOutput {})
    }

    async fn settle(
        &self,
        cx: &Cx,
        params: &HttpParams,
        _before: &HttpBefore,
        output: &HttpOutput,
    ) -> OpResult<HttpOutput> {
        let (end, wanted) = (Instant::now() + params.within.time(), params.consecutive.unwrap_or(1));
        let waiting_for = format!("waiting until {} answers as it should", params.url);
        let mut good = 0;
        loop {
            let wrong = match cx.ask(params.ask()).await {
                Ok(answer) => Some(params.judged(&answer)).filter(|it| !it.holds()).map(|it| described(&it)),
                Err(e) if matches!(e.class, ErrorClass::Permanent | ErrorClass::Unavailable) => return Err(e),
                Err(e) => Some(e.message),
            };
            good = if wrong.is_none() { good + 1 } else { 0 };
            if good >= wanted {
                return Ok(output.clone());
            }
            if Instant::now() >= end {
                let why = wrong.unwrap_or_else(|| format!("only {good} good answers in a row of {wanted}"));
                return Err(OpError::permanent(format!("{} within {}: {why}", params.url, params.within)));
            }
            cx.pause(&waiting_for, POLL).await?;
        }
    }

    async fn find(&self, _cx: &Cx, _params: &HttpParams, _before: &HttpBefore) -> OpResult<Found<HttpOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &HttpParams,
        _before: &HttpBefore,
        _output: &HttpOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &HttpParams,
        _before: &HttpBefore,
        _output: Option<&HttpOutput>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if want == Expect::RolledBack {
            return Ok(Verdict::new());
        }
        Ok(params.judged(&cx.ask(params.ask()).await?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use switchback_engine::operation::BoxFuture;
    use switchback_engine::remote::Remote;

    use super::*;
    use crate::testing::Bench;

    /// Answers with these statuses in turn, the last one for ever; 0 is no answer.
    struct Script(Mutex<Vec<u16>>);

    impl Remote<HttpAsk> for Script {
        fn ask<'a>(&'a self, _: &'a Cx, _: HttpAsk) -> BoxFuture<'a, OpResult<HttpAnswer>> {
            let mut left = self.0.lock().unwrap();
            let status = if left.len() > 1 { left.remove(0) } else { left[0] };
            let body = json!({"status": "ok", "agents_active": status / 100}).to_string();
            let answer = match status {
                0 => Err(OpError::new(ErrorClass::Transient, "refused")),
                1 => Err(OpError::permanent("no such thing")),
                _ => Ok(HttpAnswer { status, headers: BTreeMap::new(), body }),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    fn bench(script: &[u16]) -> Bench {
        Bench::answered(Script(Mutex::new(script.to_vec())))
    }

    fn params(expect: &str) -> HttpParams {
        HttpParams { expect: Some(expect.to_owned()), within: Span::seconds(60), ..Http::example().unwrap() }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(Http.check(&Http::example().unwrap()).is_ok());
        let wrong = |change: fn(&mut HttpParams)| {
            let mut params = Http::example().unwrap();
            change(&mut params);
            let errors = Http.check(&params).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(wrong(|p| p.url = "app".to_owned()), "url");
        assert_eq!(wrong(|p| p.url = "ftp://app.example.com".to_owned()), "url");
        assert_eq!(wrong(|p| p.url = "https://me:hush@app.example.com".to_owned()), "url");
        assert_eq!(wrong(|p| p.url = "https://10.0.0.1/".to_owned()), "connect_to");
        assert_eq!(wrong(|p| p.connect_to = Some("10.0.1.5".to_owned())), "connect_to");
        assert_eq!(wrong(|p| p.connect_to = Some("[::1]:80".to_owned())), "");
        assert_eq!(wrong(|p| p.expect = Some("body.status ==".to_owned())), "expect");
        assert_eq!(wrong(|p| p.expect = Some("bdoy.status == 1".to_owned())), "expect");
        assert_eq!(wrong(|p| p.status = Some(20)), "status");
        assert_eq!(wrong(|p| p.consecutive = Some(0)), "consecutive");
        assert_eq!(wrong(|p| drop(p.headers.insert("Authorization".to_owned(), "x".to_owned()))), "headers");
        assert_eq!(wrong(|p| drop(p.headers.insert("a b".to_owned(), "x".to_owned()))), "headers");
        assert_eq!(Http.facts(&Http::example().unwrap()).reads, ["http:Get"]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_good_answers_in_a_row() {
        let bench = bench(&[0, 503, 200, 200, 500, 200, 200, 200]);
        let (cx, params) = (bench.cx(), params("body.agents_active == 2"));
        Http.settle(&cx, &params, &HttpBefore {}, &HttpOutput {}).await.unwrap();
        assert_eq!(bench.calls(), ["http:Get"; 8]);
        let verdict = Http.verify(&cx, &params, &HttpBefore {}, None, Expect::Created).await.unwrap();
        assert!(verdict.holds() && verdict.observed["body"]["status"] == "ok");
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_says_what_the_last_answer_was() {
        let settle = async |script: &[u16], expect: &str| {
            let cx = bench(script).cx();
            Http.settle(&cx, &params(expect), &HttpBefore {}, &HttpOutput {}).await.unwrap_err().message
        };
        let said = settle(&[503], "body.agents_active == 3").await;
        assert!(said.contains("the status of https://app.example.com/health should be 200, is 503"), "{said}");
        assert!(said.contains("body.agents_active == 3 should be true, is false"), "{said}");
        assert!(said.ends_with(r#"the answer was 503 {"agents_active":5,"status":"ok"}"#), "{said}");
        let said = settle(&[200], "body.missing == 3").await;
        assert!(said.contains("no such key: missing"), "{said}");
        assert!(settle(&[0], "body.status == 'ok'").await.ends_with("refused"));
        assert_eq!(settle(&[1], "body.status == 'ok'").await, "no such thing", "it is not asked again");
        assert_eq!(cut(&json!("x".repeat(1000))).len(), SHOWN + 3);
    }
}
