//! Policy documents: their grammar, and IAM's words for what is wrong in one.
//!
//! A document is checked for its form only; what it allows is evaluated nowhere. The grammar is that of "Grammar of
//! the IAM JSON policy language" in the IAM user guide.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// How long a trust policy may be, without white space. A new AWS account has 2,048.
pub(super) const TRUST_SIZE: usize = 2048;
/// How long a managed policy may be, without white space.
pub(super) const MANAGED_SIZE: usize = 6144;
/// How long all inline policies of a role may be together, without white space.
pub(super) const INLINE_SIZE: usize = 10_240;

const TRUST_ACTIONS: &[&str] = &[
    "sts:assumerole",
    "sts:assumerolewithsaml",
    "sts:assumerolewithwebidentity",
    "sts:setsourceidentity",
    "sts:tagsession",
    "sts:setcontext",
];

/// What conditions compare with; each also with `IfExists`, and for sets of values.
const OPERATORS: &[&str] = &[
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "BinaryEquals",
    "Bool",
    "DateEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateNotEquals",
    "IpAddress",
    "NotIpAddress",
    "Null",
    "NumericEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericNotEquals",
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "StringNotEquals",
    "StringNotEqualsIgnoreCase",
    "StringNotLike",
];

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new("MalformedPolicyDocument", message.into())
}

fn syntax() -> Refusal {
    malformed("Syntax errors in policy.")
}

/// How long a document is for IAM's quotas, which do not count white space.
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}

/// Checks a policy that is attached to a role, or put into one.
pub(super) fn check_identity(document: &str) -> Result<(), Refusal> {
    let (version, statements) = read(document)?;
    if version.as_deref() != Some("2012-10-17") {
        return Err(malformed("Policy document must be version 2012-10-17 or greater."));
    }
    for statement in &statements {
        common(statement)?;
        if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
            return Err(malformed("Policy document should not specify a principal."));
        }
        let actions = one_of(statement, "Action", "NotAction")?;
        if actions.is_empty() {
            return Err(malformed("Policy statement must contain actions."));
        }
        for action in actions {
            check_action(action)?;
        }
        let resources = one_of(statement, "Resource", "NotResource")?;
        if resources.is_empty() {
            return Err(malformed("Policy statement must contain resources."));
        }
        for resource in resources {
            // A variable or a pattern may stand in any part but the first.
            let is_arn = resource.split(':').count() >= 6 && resource.starts_with("arn:");
            if resource != "*" && !is_arn {
                return Err(malformed(format!("Resource {resource} must be in ARN format or \"*\".")));
            }
        }
    }
    Ok(())
}

/// Checks who may assume a role. Gives back the ARNs that it names as principals, which must exist.
///
/// A document without a version is one of version 2008-10-17 here, as in AWS.
pub(super) fn check_trust(document: &str) -> Result<Vec<String>, Refusal> {
    let (_, statements) = read(document)?;
    let mut named = Vec::new();
    for statement in &statements {
        common(statement)?;
        for prohibited in ["Resource", "NotResource"] {
            if statement.contains_key(prohibited) {
                return Err(malformed(format!("Has prohibited field {prohibited}")));
            }
        }
        let actions = one_of(statement, "Action", "NotAction")?;
        if actions.is_empty() {
            return Err(malformed("Missing required field Action"));
        }
        if actions.iter().any(|action| !trusts(action)) {
            return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
        }
        match (statement.get("Principal"), statement.get("NotPrincipal")) {
            (Some(principal), None) => check_principal(principal, &mut named)?,
            (None, Some(_)) => return Err(malformed("Has prohibited field NotPrincipal")),
            (None, None) => return Err(malformed("Missing required field Principal")),
            (Some(_), Some(_)) => return Err(syntax()),
        }
    }
    Ok(named)
}

fn trusts(action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    match action.strip_suffix('*') {
        Some(start) => start.starts_with("sts:") && TRUST_ACTIONS.iter().any(|known| known.starts_with(start)),
        None => TRUST_ACTIONS.contains(&action.as_str()),
    }
}

type Statement = Map<String, Value>;

/// The version and the statements of a document.
fn read(document: &str) -> Result<(Option<String>, Vec<Statement>), Refusal> {
    if document.starts_with(char::is_whitespace) {
        return Err(malformed("JSON strings must not have leading spaces"));
    }
    let Ok(Value::Object(mut document)) = serde_json::from_str::<Value>(document) else {
        return Err(malformed("This policy contains invalid Json"));
    };
    if document.keys().any(|key| !["Version", "Id", "Statement"].contains(&key.as_str())) {
        return Err(syntax());
    }
    let version = match document.get("Version") {
        None => None,
        Some(Value::String(version)) if version == "2012-10-17" || version == "2008-10-17" => Some(version.clone()),
        Some(_) => return Err(malformed("The policy must contain a valid version string")),
    };
    let statements = match document.remove("Statement") {
        Some(Value::Object(one)) => vec![one],
        Some(Value::Array(many)) if !many.is_empty() => {
            let objects = many.into_iter().map(|item| match item {
                Value::Object(statement) => Ok(statement),
                _ => Err(syntax()),
            });
            objects.collect::<Result<_, _>>()?
        }
        _ => return Err(syntax()),
    };
    let mut ids: Vec<&str> = statements.iter().filter_map(|statement| statement.get("Sid")?.as_str()).collect();
    ids.retain(|id| !id.is_empty());
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(malformed("Statement IDs (SID) in a single policy must be unique."));
    }
    Ok((version, statements))
}

/// What every statement must have, and may have.
fn common(statement: &Statement) -> Result<(), Refusal> {
    for (key, value) in statement {
        match key.as_str() {
            "Effect" | "Principal" | "NotPrincipal" | "Action" | "NotAction" | "Resource" | "NotResource" => {}
            "Sid" => {
                let id = value.as_str().ok_or_else(syntax)?;
                if !id.chars().all(|character| character.is_ascii_alphanumeric()) {
                    return Err(malformed(
                        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular \
                         expression [0-9A-Za-z]*",
                    ));
                }
            }
            "Condition" => check_condition(value)?,
            _ => return Err(syntax()),
        }
    }
    match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow" | "Deny") => Ok(()),
        Some(other) => Err(malformed(format!("Invalid effect: {other}"))),
        None => Err(malformed("Missing required field Effect")),
    }
}

fn check_condition(condition: &Value) -> Result<(), Refusal> {
    for (operator, keys) in condition.as_object().ok_or_else(syntax)? {
        let bare = operator.strip_prefix("ForAnyValue:").or_else(|| operator.strip_prefix("ForAllValues:"));
        let bare = bare.unwrap_or(operator);
        let bare = bare.strip_suffix("IfExists").unwrap_or(bare);
        if !OPERATORS.iter().any(|known| known.eq_ignore_ascii_case(bare)) {
            return Err(malformed(format!("Invalid Condition type : {operator}")));
        }
        for (key, value) in keys.as_object().ok_or_else(syntax)? {
            if !key.contains(':') {
                return Err(malformed("Conditions must be prefaced by a vendor, e.g., aws, iam, ec2, etc."));
            }
            let scalar = |value: &Value| !matches!(value, Value::Null | Value::Array(_) | Value::Object(_));
            if !scalar(value) && !value.as_array().is_some_and(|values| values.iter().all(scalar)) {
                return Err(syntax());
            }
        }
    }
    Ok(())
}

fn check_action(action: &str) -> Result<(), Refusal> {
    let Some((vendor, name)) = action.split_once(':') else {
        return if action == "*" {
            Ok(())
        } else {
            Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."))
        };
    };
    let fits = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || more.contains(&letter))
    };
    if !fits(vendor, &['-']) {
        return Err(malformed(format!("Vendor {vendor} is not valid")));
    }
    if fits(name, &['*', '?']) { Ok(()) } else { Err(syntax()) }
}

/// The texts under one of two names: a string, or a list of them. Both names at once are a mistake.
fn one_of<'a>(statement: &'a Statement, name: &str, not: &str) -> Result<Vec<&'a str>, Refusal> {
    match (statement.get(name), statement.get(not)) {
        (Some(_), Some(_)) => Err(syntax()),
        (Some(value), None) | (None, Some(value)) => texts(value),
        (None, None) => Ok(Vec::new()),
    }
}

fn texts(value: &Value) -> Result<Vec<&str>, Refusal> {
    match value {
        Value::String(one) => Ok(vec![one]),
        Value::Array(many) => many.iter().map(|item| item.as_str().ok_or_else(syntax)).collect(),
        _ => Err(syntax()),
    }
}

fn check_principal(principal: &Value, named: &mut Vec<String>) -> Result<(), Refusal> {
    let kinds = match principal {
        Value::String(all) if all == "*" => return Ok(()),
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(malformed("Invalid principal in policy.")),
    };
    for (kind, value) in kinds {
        let texts = texts(value)?;
        if texts.is_empty() {
            return Err(malformed("Invalid principal in policy."));
        }
        for text in texts {
            let fits = match kind.as_str() {
                "Service" => is_service(text),
                "AWS" => text == "*" || is_account(text) || is_principal_arn(text),
                "Federated" => text.starts_with("arn:aws:iam::") || text.contains('.'),
                "CanonicalUser" => true,
                _ => return Err(syntax()),
            };
            if !fits {
                return Err(invalid_principal(kind, text));
            }
            if kind == "AWS" && text.starts_with("arn:") {
                named.push(text.to_owned());
            }
        }
    }
    Ok(())
}

/// A principal that nobody can be.
pub(super) fn invalid_principal(kind: &str, text: &str) -> Refusal {
    let kind = if kind == "Service" { "SERVICE" } else { kind };
    malformed(format!("Invalid principal in policy: \"{kind}\":\"{text}\""))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_service(text: &str) -> bool {
    text.strip_suffix(".amazonaws.com").is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-._".contains(&letter))
    })
}

fn is_principal_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, _, service, region, account, rest] = parts.as_slice() else { return false };
    text.starts_with("arn:aws:")
        && ["iam", "sts"].contains(service)
        && region.is_empty()
        && is_account(account)
        && (*rest == "root" || ["role/", "user/", "assumed-role/"].iter().any(|kind| rest.starts_with(kind)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(statement: Value) -> Result<(), Refusal> {
        check_identity(&json!({"Version": "2012-10-17", "Statement": statement}).to_string())
    }

    fn trust(statement: Value) -> Result<Vec<String>, Refusal> {
        check_trust(&json!({"Version": "2012-10-17", "Statement": statement}).to_string())
    }

    #[test]
    fn what_aws_takes_is_taken() {
        for statement in [
            json!({"Effect": "Allow", "Action": "*", "Resource": "*"}),
            json!([{"Sid": "One", "Effect": "Deny", "NotAction": ["iam:*"], "NotResource": "arn:aws:s3:::bucket/*"}]),
            json!({"Effect": "Allow", "Action": ["s3:Get*", "ecr-public:GetAuthorizationToken"], "Resource": ["*"],
                   "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a", "b"]},
                                 "Bool": {"aws:SecureTransport": true}}}),
        ] {
            identity(statement.clone()).unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        }
        let service = json!({"Effect": "Allow", "Principal": {"Service": ["ecs-tasks.amazonaws.com"]},
                             "Action": ["sts:AssumeRole", "sts:TagSession"]});
        assert!(trust(service).unwrap().is_empty());
        let arns = json!({"Effect": "Allow", "Action": "sts:Assume*",
                          "Principal": {"AWS": ["arn:aws:iam::123456789012:role/a", "123456789012"]}});
        assert_eq!(trust(arns).unwrap(), ["arn:aws:iam::123456789012:role/a"]);
        let old = json!({"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
                         "Action": "sts:AssumeRole"}});
        assert!(check_trust(&old.to_string()).is_ok());
    }

    #[test]
    fn an_identity_policy_has_its_grammar() {
        let good = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"});
        let with = |name: &str, value: Value| {
            let mut statement = good.clone();
            statement[name] = value;
            statement
        };
        let without = |name: &str| {
            let mut statement = good.clone();
            statement.as_object_mut().unwrap().remove(name);
            statement
        };
        for (statement, message) in [
            (without("Effect"), "Missing required field Effect"),
            (with("Effect", json!("Maybe")), "Invalid effect: Maybe"),
            (with("Principal", json!("*")), "Policy document should not specify a principal."),
            (without("Action"), "Policy statement must contain actions."),
            (with("Action", json!([])), "Policy statement must contain actions."),
            (
                with("Action", json!("get")),
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            (with("Action", json!("a b:Get")), "Vendor a b is not valid"),
            (with("Action", json!("s3:")), "Syntax errors in policy."),
            (with("NotAction", json!("s3:GetObject")), "Syntax errors in policy."),
            (without("Resource"), "Policy statement must contain resources."),
            (with("Resource", json!("bucket")), "Resource bucket must be in ARN format or \"*\"."),
            (
                with("Sid", json!("a b")),
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies \
              the regular expression [0-9A-Za-z]*",
            ),
            (with("Effects", json!("Allow")), "Syntax errors in policy."),
            (with("Condition", json!({"Equals": {"aws:a": "b"}})), "Invalid Condition type : Equals"),
            (with("Condition", json!({"Bool": {"aws:a": {}}})), "Syntax errors in policy."),
            (json!([]), "Syntax errors in policy."),
            (
                json!([with("Sid", json!("A")), with("Sid", json!("A"))]),
                "Statement IDs (SID) in a single policy must be unique.",
            ),
        ] {
            let refusal = identity(statement.clone()).expect_err(&statement.to_string());
            assert_eq!((refusal.code.as_ref(), refusal.message.as_ref()), ("MalformedPolicyDocument", message));
        }
        let old = json!({"Version": "2008-10-17", "Statement": good});
        assert!(check_identity(&old.to_string()).unwrap_err().message.contains("2012-10-17 or greater"));
        let none = json!({"Version": "2020-01-01", "Statement": good});
        assert!(check_identity(&none.to_string()).unwrap_err().message.contains("valid version string"));
        for bad in ["", "{", "[]", "null", " {}"] {
            assert_eq!(check_identity(bad).unwrap_err().code, "MalformedPolicyDocument", "{bad}");
        }
        assert_eq!(check_identity("{}").unwrap_err().message, "Syntax errors in policy.");
    }

    #[test]
    fn a_trust_policy_names_who_and_no_resource() {
        let good =
            json!({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"});
        for (name, value, message) in [
            ("Resource", json!("*"), "Has prohibited field Resource"),
            ("Action", json!("s3:GetObject"), "AssumeRole policy may only specify STS AssumeRole actions."),
            ("Action", json!([]), "Missing required field Action"),
            ("Principal", json!({"Service": "ecs"}), "Invalid principal in policy: \"SERVICE\":\"ecs\""),
            ("Principal", json!({"AWS": "arn:aws:s3:::x"}), "Invalid principal in policy: \"AWS\":\"arn:aws:s3:::x\""),
            ("Principal", json!({"Who": "x"}), "Syntax errors in policy."),
            ("Principal", json!({}), "Invalid principal in policy."),
            ("Effect", json!("allow"), "Invalid effect: allow"),
        ] {
            let mut statement = good.clone();
            statement[name] = value;
            assert_eq!(trust(statement).unwrap_err().message, message);
        }
        for name in ["Principal", "Action", "Effect"] {
            let mut statement = good.clone();
            statement.as_object_mut().unwrap().remove(name);
            assert_eq!(trust(statement).unwrap_err().message, format!("Missing required field {name}"));
        }
    }

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(size("{ \"a\":\n 1 }"), 7);
    }
}
