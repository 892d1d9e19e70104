//! Key policies: whether a document is one, and what a key has that was given none.

use serde_json::{Map, Value, json};

use crate::refusal::Refusal;

/// The only name that a key policy can have.
pub(super) const NAME: &str = "default";

fn malformed(message: &'static str) -> Refusal {
    Refusal::new("MalformedPolicyDocumentException", message)
}

/// Checks a document that is to become the policy of a key of this account. Unless `bypass`, it must leave somebody of
/// the account who can change it. `is_role` says whether a role of the account can be seen by now.
pub(super) fn check(text: &str, account: &str, bypass: bool, is_role: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    if text.len() > 32768 {
        return Err(Refusal::new("LimitExceededException", "The key policy is longer than 32768 bytes."));
    }
    let Ok(Value::Object(document)) = serde_json::from_str(text) else {
        return Err(malformed("The new key policy is not a valid JSON document."));
    };
    let statements: Vec<&Value> = match document.get("Statement") {
        Some(Value::Array(all)) if !all.is_empty() => all.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(malformed("Policy statement must not be empty.")),
    };
    let version = document.get("Version").map(|version| version.as_str().unwrap_or_default());
    if version.is_some_and(|version| !["2012-10-17", "2008-10-17"].contains(&version)) {
        return Err(malformed("The policy has an invalid version."));
    }
    let mut keeps_somebody = false;
    for statement in statements {
        let Value::Object(statement) = statement else {
            return Err(malformed("A policy statement must be an object."));
        };
        keeps_somebody |= check_statement(statement, account, &is_role)?;
    }
    if keeps_somebody || bypass {
        return Ok(());
    }
    Err(malformed("The new key policy will not allow you to update the key policy in the future."))
}

/// Whether the statement lets somebody of the account change the policy.
fn check_statement(
    statement: &Map<String, Value>,
    account: &str,
    is_role: &impl Fn(&str) -> bool,
) -> Result<bool, Refusal> {
    let has_one_of = |names: [&str; 2]| names.iter().filter(|name| statement.contains_key(**name)).count() == 1;
    let effect = statement.get("Effect").and_then(Value::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        return Err(malformed("Policy contains a statement with an invalid effect."));
    }
    if !has_one_of(["Principal", "NotPrincipal"]) {
        return Err(malformed("Policy contains a statement with no principal."));
    }
    if !has_one_of(["Action", "NotAction"]) {
        return Err(malformed("Policy contains a statement with no action."));
    }
    if !has_one_of(["Resource", "NotResource"]) {
        return Err(malformed("Policy contains a statement with no resource."));
    }
    let principals = match statement.get("Principal") {
        Some(Value::String(all)) if all == "*" => vec!["*"],
        Some(Value::Object(kinds)) => kinds.get("AWS").map(texts).unwrap_or_default(),
        Some(_) => return Err(malformed("Policy contains a statement with one or more invalid principals.")),
        None => Vec::new(),
    };
    let roles = format!("arn:aws:iam::{account}:role/");
    let is_principal = |text: &str| match text {
        "*" => true,
        // Also refused for a role that was made a moment ago: KMS hears of it later.
        role if role.starts_with(&roles) => is_role(role),
        arn if arn.starts_with("arn:aws:") => true,
        account => account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit()),
    };
    if !principals.iter().all(|text| is_principal(text)) {
        return Err(malformed("Policy contains a statement with one or more invalid principals."));
    }
    let actions = statement.get("Action").map(texts).unwrap_or_default();
    let can_change = actions.iter().any(|action| ["*", "kms:*", "kms:Put*", "kms:PutKeyPolicy"].contains(action));
    let is_ours =
        principals.iter().any(|text| *text == "*" || *text == account || text.contains(&format!("::{account}:")));
    Ok(effect == Some("Allow") && can_change && is_ours)
}

/// One text, or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().map(|text| text.as_str().unwrap_or_default()).collect(),
        _ => vec![""],
    }
}

/// The policy of a key that was made without one.
pub(super) fn by_default(account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "123456789012";

    fn statement(change: Value) -> String {
        let mut statement =
            json!({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"});
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                statement.as_object_mut().unwrap().remove(name);
            } else {
                statement[name] = value.clone();
            }
        }
        json!({"Version": "2012-10-17", "Statement": statement}).to_string()
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        check(&by_default(ACCOUNT), ACCOUNT, false, |_| true).unwrap();
        check(&statement(json!({})), ACCOUNT, false, |_| true).unwrap();
        for bad in [
            "{".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            json!({"Statement": []}).to_string(),
            json!({"Version": "2020-01-01", "Statement": [{}]}).to_string(),
            statement(json!({"Effect": "Maybe"})),
            statement(json!({"Principal": null})),
            statement(json!({"Principal": {"AWS": "somebody"}})),
            statement(json!({"Principal": "somebody"})),
            statement(json!({"Action": null})),
            statement(json!({"Resource": null})),
        ] {
            assert_eq!(
                check(&bad, ACCOUNT, true, |_| true).unwrap_err().code,
                "MalformedPolicyDocumentException",
                "{bad}"
            );
        }
    }

    #[test]
    fn a_policy_may_not_lock_everybody_out() {
        for bad in [
            statement(json!({"Action": "kms:Decrypt"})),
            statement(json!({"Effect": "Deny"})),
            statement(json!({"Principal": {"AWS": "arn:aws:iam::999999999999:root"}})),
        ] {
            assert!(check(&bad, ACCOUNT, false, |_| true).is_err(), "{bad}");
            check(&bad, ACCOUNT, true, |_| true).unwrap();
        }
    }
}
