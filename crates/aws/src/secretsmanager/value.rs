//! What a secret says: a secret input, a JSON object, or what is made up on the spot.
//!
//! What is made up is drawn in this process, goes into the one call, and is kept nowhere else: not in the
//! journal, not in an output. `GetRandomPassword` would send the same over the network once more.

use std::collections::BTreeMap;

use rand::seq::{IndexedRandom, SliceRandom};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::{OpError, OpResult, SecretRef};

use crate::rds::without_secret;

/// How many characters are made up where nobody says it: as many as `GetRandomPassword` has.
const LENGTH: u16 = 32;
/// The fewest that may be asked for: fewer can be guessed.
const SHORTEST: u16 = 8;
/// The most that may be asked for.
const LONGEST: u16 = 4096;
/// The longest value of a secret, in bytes.
const LONGEST_VALUE: usize = 65_536;

/// A text that is made up, of characters of each kind that is not left out. The options are those of
/// `GetRandomPassword`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// How many characters, 8 to 4096. The default: 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u16>,
    /// Characters that it may not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_characters: Option<String>,
    /// Without digits. The default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_numbers: Option<bool>,
    /// Without punctuation. The default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_punctuation: Option<bool>,
    /// Without capital letters. The default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_uppercase: Option<bool>,
    /// Without small letters. The default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_lowercase: Option<bool>,
}

/// A member of a JSON object that is made up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generated {
    /// How.
    pub generate: Generate,
}

/// A member of a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Member {
    /// Made up on the spot.
    Generated(Generated),
    /// A secret input.
    Secret(SecretRef),
    /// True or false, which is not secret.
    Flag(bool),
    /// A number, which is not secret.
    Number(i64),
    /// A text that is not secret.
    Text(String),
}

impl Generate {
    /// The characters to choose from, by kind.
    fn kinds(&self) -> Vec<Vec<char>> {
        let excluded = self.exclude_characters.as_deref().unwrap_or_default();
        let kind = |without: Option<bool>, is: IsOfKind| {
            let wanted = without != Some(true);
            ('!'..='~').filter(|c| wanted && is(c) && !excluded.contains(*c)).collect::<Vec<_>>()
        };
        let mut kinds = vec![
            kind(self.exclude_lowercase, char::is_ascii_lowercase),
            kind(self.exclude_uppercase, char::is_ascii_uppercase),
            kind(self.exclude_numbers, char::is_ascii_digit),
            kind(self.exclude_punctuation, char::is_ascii_punctuation),
        ];
        kinds.retain(|kind| !kind.is_empty());
        kinds
    }

    fn check(&self, path: &[&str], errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: String| {
            let path = path.iter().copied().chain([field]).map(str::to_owned).collect();
            errors.push(ParamError { path, message });
        };
        if self.length.is_some_and(|length| !(SHORTEST..=LONGEST).contains(&length)) {
            wrong("length", format!("is between {SHORTEST} and {LONGEST}"));
        }
        if self.kinds().iter().flatten().count() < 2 {
            wrong("exclude_characters", "leaves nothing to choose from".to_owned());
        }
    }

    /// One of each kind at least, in any order.
    fn text(&self) -> OpResult<SecretString> {
        // Seeded by the operating system; made to be guessed by nobody.
        let mut rng = rand::rng();
        let kinds = self.kinds();
        let all: Vec<char> = kinds.iter().flatten().copied().collect();
        let length = usize::from(self.length.unwrap_or(LENGTH));
        let mut drawn: Vec<char> = kinds.iter().filter_map(|kind| kind.choose(&mut rng).copied()).collect();
        while drawn.len() < length {
            let one = all.choose(&mut rng).ok_or_else(|| OpError::permanent("there is nothing to choose from"))?;
            drawn.push(*one);
        }
        drawn.shuffle(&mut rng);
        Ok(SecretString::from(drawn.into_iter().collect::<String>()))
    }
}

/// Whether a character is of a kind.
type IsOfKind = fn(&char) -> bool;

/// The value as the parameters say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) secret_string: Option<&'a SecretRef>,
    pub(super) secret_json: Option<&'a BTreeMap<String, Member>>,
    pub(super) generate: Option<&'a Generate>,
}

/// A value, ready for the call. It cannot be printed.
#[derive(Debug)]
pub(super) struct Secret {
    whole: SecretString,
    /// The secret members of a JSON object.
    parts: Vec<SecretString>,
}

impl Asked<'_> {
    /// Holds it to the rules: said in exactly one way.
    pub(super) fn check(&self, errors: &mut Vec<ParamError>) {
        let ways = [self.secret_string.is_some(), self.secret_json.is_some(), self.generate.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let message = "exactly one of `secret_string`, `secret_json` and `generate` says the value";
            errors.push(ParamError::new("secret_string", message));
        }
        if let Some(generate) = self.generate {
            generate.check(&["generate"], errors);
        }
        if self.secret_json.is_some_and(BTreeMap::is_empty) {
            errors.push(ParamError::new("secret_json", "has no member"));
        }
        for (name, member) in self.secret_json.into_iter().flatten() {
            if let Member::Generated(of) = member {
                of.generate.check(&["secret_json", name, "generate"], errors);
            }
        }
    }

    /// The value. What is made up is another one each time.
    ///
    /// # Errors
    /// Class `Unavailable` when this process was not given a secret input; class `Permanent` when the value
    /// is longer than a secret may be.
    pub(super) fn value(&self, cx: &Cx) -> OpResult<Secret> {
        let mut parts = Vec::new();
        let whole = match (self.secret_string, self.secret_json, self.generate) {
            (Some(of), _, _) => cx.secret(of)?.clone(),
            (_, Some(members), _) => {
                let mut object = Map::new();
                for (name, member) in members {
                    let value = match member {
                        Member::Flag(flag) => Value::from(*flag),
                        Member::Number(number) => Value::from(*number),
                        Member::Text(text) => Value::from(text.as_str()),
                        Member::Secret(of) => secret_part(cx.secret(of)?.clone(), &mut parts),
                        Member::Generated(of) => secret_part(of.generate.text()?, &mut parts),
                    };
                    object.insert(name.clone(), value);
                }
                SecretString::from(Value::Object(object).to_string())
            }
            (_, _, Some(generate)) => generate.text()?,
            _ => return Err(OpError::permanent("the parameters give the secret no value")),
        };
        if !(1..=LONGEST_VALUE).contains(&whole.expose_secret().len()) {
            return Err(OpError::permanent(format!("the value does not have 1 to {LONGEST_VALUE} bytes")));
        }
        Ok(Secret { whole, parts })
    }
}

fn secret_part(part: SecretString, parts: &mut Vec<SecretString>) -> Value {
    let value = Value::from(part.expose_secret());
    parts.push(part);
    value
}

impl Secret {
    /// For the call that brings it, and for nothing else.
    pub(super) fn expose(&self) -> &str {
        self.whole.expose_secret()
    }

    /// The error without the value and its members, should AWS have repeated them.
    pub(super) fn kept_from(&self, error: OpError) -> OpError {
        let all = std::iter::once(&self.whole).chain(&self.parts);
        all.fold(error, |error, secret| without_secret(error, Some(secret)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchback_engine::secrets::Secrets;

    use super::*;
    use crate::testing::{Script, knowing};

    fn generate(value: serde_json::Value) -> Generate {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: serde_json::Value) -> Vec<String> {
        let mut errors = Vec::new();
        generate(value).check(&["generate"], &mut errors);
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn what_is_made_up_has_what_was_asked_for_and_is_another_each_time() {
        let any = Generate::default();
        let (one, other) = (any.text().unwrap(), any.text().unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len(), 32);
        for _ in 0..50 {
            let of = generate(json!({"length": 8, "exclude_punctuation": true, "exclude_characters": "0O1lI"}));
            let text = of.text().unwrap();
            let text = text.expose_secret();
            assert_eq!(text.len(), 8);
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric() && !"0O1lI".contains(c)), "{text}");
            for kind in [char::is_ascii_digit, char::is_ascii_lowercase, char::is_ascii_uppercase] {
                assert!(text.chars().any(|c| kind(&c)), "{text}");
            }
        }
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"length": 7})), ["generate.length"]);
        let nothing = json!({"exclude_lowercase": true, "exclude_uppercase": true, "exclude_punctuation": true,
            "exclude_characters": "0123456789"});
        assert_eq!(wrong(nothing), ["generate.exclude_characters"]);
    }

    #[tokio::test]
    async fn an_object_holds_what_is_secret_and_what_is_not_and_no_error_repeats_it() {
        let of = SecretRef { source: "PASSWORD".into(), version: None, fingerprint: "f".into() };
        let given = Secrets::new([(of.clone(), "hunter\"2!".into())]);
        let (cx, _) = knowing("secret", Script::new([]).config(), given).await;
        let members: BTreeMap<String, Member> = serde_json::from_value(json!({
            "user": "app", "port": 5432, "tls": true, "password": of, "other": {"generate": {"length": 12}},
        }))
        .unwrap();
        let asked = Asked { secret_string: None, secret_json: Some(&members), generate: None };
        let value = asked.value(&cx).unwrap();
        let object: Value = serde_json::from_str(value.expose()).unwrap();
        assert_eq!(
            (&object["user"], &object["port"], &object["tls"], &object["password"]),
            (&json!("app"), &json!(5432), &json!(true), &json!("hunter\"2!"))
        );
        let other = object["other"].as_str().unwrap();
        assert_eq!(other.len(), 12);
        let error = OpError::permanent(format!("{} and {other} and hunter\"2! are too short", value.expose()));
        let text = value.kept_from(error).message;
        assert_eq!(text, "(secret) and (secret) and (secret) are too short");
        assert!(!format!("{value:?}").contains("hunter"));
    }

    #[test]
    fn a_value_is_said_in_one_way() {
        let (members, made) = (BTreeMap::new(), Generate::default());
        let fields = |asked: Asked<'_>| {
            let mut errors = Vec::new();
            asked.check(&mut errors);
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        let none = Asked { secret_string: None, secret_json: None, generate: None };
        assert_eq!(fields(none), ["secret_string"]);
        assert!(fields(Asked { generate: Some(&made), ..none }).is_empty());
        assert_eq!(fields(Asked { secret_json: Some(&members), ..none }), ["secret_json"]);
        let both = Asked { secret_json: Some(&members), generate: Some(&made), ..none };
        assert_eq!(fields(both), ["secret_string", "secret_json"]);
    }
}
