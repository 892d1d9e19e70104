//! Policy documents: JSON that AWS takes and gives as text.
//!
//! A runbook has one as an object, or as a text that holds one (a file beside it). What AWS returns is
//! seldom the text that it was given: IAM encodes it like a part of a URL, a list of one may be a
//! plain value, lists come back in another order, an account's number becomes the ARN of its root. So
//! documents are compared in a normal form in which all ways to say the same are one ([`normal`]).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use switchback_engine::operation::ParamError;
use switchback_model::canonical;

/// The version that a document without one has.
const OLDEST: &str = "2008-10-17";
const VERSIONS: [&str; 2] = [OLDEST, "2012-10-17"];
/// All that a statement may have.
const STATEMENT: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// A policy document: a JSON object, or a text that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(Value);

impl JsonSchema for Document {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Document".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "string"] })
    }
}

/// What a document is for, which decides what its statements name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Who may become a role: principals and actions.
    Trust,
    /// What its holder may do: actions and resources.
    Identity,
    /// Who may do what with the thing that it is on: principals, actions and resources.
    Resource,
}

impl Document {
    /// The document of that value.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    /// The document itself, also where the runbook has its text.
    fn object(&self) -> Result<Cow<'_, Value>, String> {
        let document = match &self.0 {
            Value::String(text) => Cow::Owned(serde_json::from_str(text).map_err(|e| format!("is not JSON: {e}"))?),
            value => Cow::Borrowed(value),
        };
        if document.is_object() { Ok(document) } else { Err("is not a JSON object".to_owned()) }
    }

    /// The text for a call, without white space. What is no document, which `check` refuses, as it is.
    pub(crate) fn text(&self) -> String {
        self.object().map_or_else(|_| self.0.to_string(), |document| document.to_string())
    }

    /// The form in which documents are compared.
    pub(crate) fn normal(&self) -> Value {
        self.object().map_or_else(|_| self.0.clone(), |document| normal_of(&document))
    }

    /// Adds what is wrong with it: no document, a field that AWS does not know, one that must be there
    /// and is not, one that has no place in such a document, or more than `longest` characters, of
    /// which IAM does not count white space.
    pub(crate) fn check(&self, purpose: Purpose, longest: usize, field: &str, errors: &mut Vec<ParamError>) {
        let mut wrong = |message: String| errors.push(ParamError::new(field, message));
        let document = match self.object() {
            Ok(document) => document,
            Err(message) => return wrong(message),
        };
        let length = self.text().chars().filter(|c| !c.is_whitespace()).count();
        if length > longest {
            wrong(format!("has {length} characters without white space, AWS takes {longest}"));
        }
        if let Some(version) = document.get("Version")
            && !version.as_str().is_some_and(|v| VERSIONS.contains(&v))
        {
            wrong(format!("the version {version} is none; use \"2012-10-17\""));
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() => list.as_slice(),
            Some(one @ Value::Object(_)) => std::slice::from_ref(one),
            _ => return wrong("has no `Statement`".to_owned()),
        };
        for (n, statement) in statements.iter().enumerate() {
            if let Some(message) = fault(statement, purpose) {
                wrong(format!("statement {}: {message}", n + 1));
            }
        }
    }
}

/// What is wrong with a statement.
fn fault(statement: &Value, purpose: Purpose) -> Option<String> {
    let Some(fields) = statement.as_object() else { return Some("is not an object".to_owned()) };
    if let Some(unknown) = fields.keys().find(|key| !STATEMENT.contains(&key.as_str())) {
        return Some(format!("`{unknown}` is not known; it may have {}", STATEMENT.join(", ")));
    }
    if !matches!(fields.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        return Some("`Effect` must be \"Allow\" or \"Deny\"".to_owned());
    }
    let (principals, resources) = (purpose != Purpose::Identity, purpose != Purpose::Trust);
    for (name, not, wanted) in [
        ("Principal", "NotPrincipal", principals),
        ("Action", "NotAction", true),
        ("Resource", "NotResource", resources),
    ] {
        match (fields.contains_key(name), fields.contains_key(not)) {
            (true, true) => return Some(format!("has both `{name}` and `{not}`")),
            (false, false) if wanted => return Some(format!("has no `{name}`")),
            (true, false) | (false, true) if !wanted => {
                return Some(format!("`{name}` has no place in {}", purpose.described()));
            }
            _ => {}
        }
    }
    None
}

impl Purpose {
    fn described(self) -> &'static str {
        match self {
            Self::Trust => "a trust policy: the role itself is what it is about",
            Self::Identity => "a policy that is attached: who holds it is whom it is about",
            Self::Resource => "such a policy",
        }
    }
}

/// The text of a document that AWS returned. IAM encodes it like a part of a URL; some stand-ins for AWS
/// do not. A document begins with a brace, which is never left as it is by such an encoding.
pub(crate) fn decoded(text: &str) -> String {
    if text.trim_start().starts_with('{') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The normal form of a document that AWS returned, or that was kept; of what is none, its text.
pub(crate) fn normal(text: &str) -> Value {
    let text = decoded(text);
    serde_json::from_str(&text).map_or_else(|_| Value::String(text), |document: Value| normal_of(&document))
}

fn normal_of(document: &Value) -> Value {
    let Value::Object(fields) = document else { return document.clone() };
    let mut out = Map::new();
    out.insert("Version".to_owned(), OLDEST.into());
    for (name, value) in fields {
        let value = if name == "Statement" { set(items(value).map(normal_statement)) } else { value.clone() };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

fn normal_statement(statement: &Value) -> Value {
    let Value::Object(fields) = statement else { return statement.clone() };
    let mut out = Map::new();
    for (name, value) in fields {
        let value = match name.as_str() {
            "Sid" if value == "" => continue,
            "Action" | "NotAction" | "Resource" | "NotResource" => set(items(value).cloned()),
            "Principal" | "NotPrincipal" => normal_principal(value),
            "Condition" => each(value, |keys| each(keys, |values| set(items(values).map(as_text)))),
            _ => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

/// Everybody is everybody, said either way; an account is its number, also where its root is named.
fn normal_principal(principal: &Value) -> Value {
    if principal == "*" {
        return serde_json::json!({"AWS": ["*"]});
    }
    each(principal, |who| {
        set(items(who).map(|one| match one.as_str().and_then(account_of_root) {
            Some(account) => account.into(),
            None => one.clone(),
        }))
    })
}

/// The account of `arn:aws:iam::123456789012:root`.
fn account_of_root(arn: &str) -> Option<&str> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(":iam::")?;
    let account = rest.strip_suffix(":root")?;
    (partition.starts_with("aws") && account.len() == 12).then_some(account)
}

/// A list's items; what is no list is its own only one.
fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    match value {
        Value::Array(list) => list.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

/// A list in which neither order nor number matters.
fn set(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<_> = values.collect();
    values.sort_by_cached_key(|value| canonical::to_string(value).unwrap_or_default());
    values.dedup();
    Value::Array(values)
}

/// An object with each of its values in another form.
fn each(value: &Value, form: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.iter().map(|(k, v)| (k.clone(), form(v))).collect()),
        other => other.clone(),
    }
}

/// A condition compares texts: `true` is `"true"`.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(document: Value, purpose: Purpose) -> Vec<String> {
        let mut errors = Vec::new();
        Document::new(document).check(purpose, 200, "document", &mut errors);
        errors.into_iter().map(|e| e.message).collect()
    }

    #[test]
    fn a_text_and_an_object_are_the_same_document() {
        let text = Document::new(json!(" { \"Statement\" : [] } "));
        let object = Document::new(json!({"Statement": []}));
        assert_eq!((text.text(), text.normal()), (object.text(), object.normal()));
        assert_eq!(object.text(), "{\"Statement\":[]}");
        let schema = schemars::schema_for!(Document).to_value();
        assert_eq!(schema["type"], json!(["object", "string"]));
        assert_eq!(serde_json::to_value(&text).unwrap(), json!(" { \"Statement\" : [] } "), "stored as it was given");
    }

    #[test]
    fn ways_to_say_the_same_are_one() {
        let ours = json!({"Version": "2012-10-17", "Statement": {
            "Sid": "", "Effect": "Allow", "Action": ["b", "a", "a"], "Resource": "*",
            "Principal": {"AWS": ["123456789012", "arn:aws:iam::123456789012:role/App"], "Service": "ec2.amazonaws.com"},
            "Condition": {"Bool": {"aws:SecureTransport": true}, "NumericLessThan": {"x": [2, "1"]}},
        }});
        let theirs = json!({"Statement": [{
            "Effect": "Allow", "Action": ["a", "b"], "Resource": ["*"],
            "Condition": {"NumericLessThan": {"x": ["1", "2"]}, "Bool": {"aws:SecureTransport": ["true"]}},
            "Principal": {
                "Service": ["ec2.amazonaws.com"],
                "AWS": ["arn:aws:iam::123456789012:role/App", "arn:aws:iam::123456789012:root"],
            },
        }], "Version": "2012-10-17"});
        let ours = Document::new(ours);
        assert_eq!(ours.normal(), normal(&theirs.to_string()));
        let everybody = |p: Value| Document::new(json!({"Statement": [{"Principal": p}]})).normal();
        assert_eq!(everybody(json!("*")), everybody(json!({"AWS": "*"})));
        let two = |a: &str, b: &str| Document::new(json!({"Statement": [{"Sid": a}, {"Sid": b}]})).normal();
        assert_eq!(two("a", "b"), two("b", "a"));
    }

    #[test]
    fn what_says_something_else_is_another() {
        let of = |statement: Value| Document::new(json!({"Version": "2012-10-17", "Statement": [statement]})).normal();
        let ours = of(json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}));
        assert_ne!(ours, of(json!({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"})));
        assert_ne!(ours, of(json!({"Effect": "Allow", "Action": ["s3:GetObject", "s3:*"], "Resource": "*"})));
        assert_ne!(ours, of(json!({"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"})));
        assert_ne!(ours, of(json!({"Sid": "1", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})));
        // The version decides whether `${aws:username}` is a variable.
        let (old, new) = (json!({"Statement": []}), json!({"Version": "2012-10-17", "Statement": []}));
        assert_ne!(Document::new(old.clone()).normal(), Document::new(new).normal());
        assert_eq!(Document::new(old).normal(), normal("{\"Version\":\"2008-10-17\",\"Statement\":[]}"));
    }

    #[test]
    fn what_iam_encodes_is_decoded() {
        assert_eq!(decoded("%7B%22a%22%3A%22b%20%2B%20%C3%A9%22%7D"), "{\"a\":\"b + é\"}");
        assert_eq!(decoded("{\"a\":\"%20\"}"), "{\"a\":\"%20\"}", "not encoded: a percent sign is itself");
        assert_eq!(decoded("%7B%zz%é%"), "{%zz%é%", "what is no escape stays");
        assert_eq!(normal("%7B"), json!("{"), "no document, which is unlike every document");
    }

    #[test]
    fn a_document_is_held_to_the_grammar() {
        let fine = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        assert!(faults(json!({"Statement": fine}), Purpose::Identity).is_empty());
        let trust = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs"}});
        assert!(faults(json!({"Statement": [trust]}), Purpose::Trust).is_empty());
        for (document, purpose, want) in [
            (json!("{"), Purpose::Trust, "is not JSON"),
            (json!("[]"), Purpose::Trust, "is not a JSON object"),
            (json!({}), Purpose::Trust, "has no `Statement`"),
            (json!({"Statement": []}), Purpose::Trust, "has no `Statement`"),
            (json!({"Statement": [1]}), Purpose::Trust, "statement 1: is not an object"),
            (json!({"Version": "2012", "Statement": fine}), Purpose::Identity, "the version \"2012\" is none"),
            (json!({"Statement": {"Effect": "Allow", "Actions": "*"}}), Purpose::Identity, "`Actions` is not known"),
            (json!({"Statement": {"Action": "*", "Resource": "*"}}), Purpose::Identity, "`Effect` must be"),
            (json!({"Statement": {"Effect": "Allow", "Resource": "*"}}), Purpose::Identity, "has no `Action`"),
            (json!({"Statement": fine}), Purpose::Trust, "has no `Principal`"),
            (json!({"Statement": fine}), Purpose::Resource, "has no `Principal`"),
            (json!({"Statement": trust}), Purpose::Identity, "`Principal` has no place"),
            (json!({"Statement": fine, "Id": "a".repeat(200)}), Purpose::Identity, "AWS takes 200"),
        ] {
            let got = faults(document.clone(), purpose);
            assert!(matches!(&got[..], [one] if one.contains(want)), "{document}: {got:?}");
        }
    }
}
