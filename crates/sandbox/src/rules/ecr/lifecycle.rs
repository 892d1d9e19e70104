//! Lifecycle policies: which images are removed, and when. Nothing is removed here.

use serde_json::{Value, json};

use super::{Desk, act, find, invalid};
use crate::input::Body;
use crate::refusal::Refusal;

pub(super) async fn put(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("repositoryName")?;
    find(desk, name)?;
    let text = body.required("lifecyclePolicyText")?;
    check(text).map_err(|why| invalid("LifecyclePolicyText", format!("Lifecycle policy validation failure: {why}")))?;
    act(desk, "PutLifecyclePolicy", json!({"repositoryName": name, "lifecyclePolicyText": text})).await?;
    desk.look();
    get(desk, body)
}

pub(super) fn get(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("repositoryName")?;
    let text = find(desk, name)?.lifecycle_policy.as_deref().ok_or_else(|| none(desk, name))?;
    Ok(json!({"registryId": desk.place.account, "repositoryName": name, "lifecyclePolicyText": text}))
}

pub(super) async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let last = get(desk, body)?;
    act(desk, "DeleteLifecyclePolicy", json!({"repositoryName": body.required("repositoryName")?})).await?;
    desk.look();
    Ok(last)
}

fn none(desk: &Desk<'_>, name: &str) -> Refusal {
    let account = &desk.place.account;
    let message = format!(
        "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
    );
    Refusal::new("LifecyclePolicyNotFoundException", message)
}

/// The grammar, as "Lifecycle policy properties in Amazon ECR" has it.
fn check(text: &str) -> Result<(), String> {
    let policy: Value = serde_json::from_str(text).map_err(|_| "could not parse the text as JSON".to_owned())?;
    let rules = policy.as_object().filter(|policy| policy.keys().all(|key| key == "rules"));
    let rules = rules.and_then(|policy| policy.get("rules")?.as_array()).filter(|rules| !rules.is_empty());
    let rules = rules.ok_or("object has missing required properties ([\"rules\"])")?;
    if rules.len() > 50 {
        return Err("a policy has at most 50 rules".to_owned());
    }
    let mut priorities = std::collections::BTreeSet::new();
    for rule in rules {
        check_rule(rule)?;
        if !priorities.insert(rule["rulePriority"].as_i64()) {
            return Err("two rules have the same rulePriority".to_owned());
        }
    }
    Ok(())
}

fn check_rule(rule: &Value) -> Result<(), String> {
    let fields = rule.as_object().ok_or("a rule is an object")?;
    if let Some(unknown) =
        fields.keys().find(|key| !["rulePriority", "description", "selection", "action"].contains(&key.as_str()))
    {
        return Err(format!("object instance has properties which are not allowed by the schema: [\"{unknown}\"]"));
    }
    if rule["rulePriority"].as_i64().is_none_or(|priority| priority < 1) {
        return Err("rulePriority is a number from 1".to_owned());
    }
    if !["expire", "transition"].iter().any(|kind| rule["action"]["type"] == *kind) {
        return Err("action type must be expire".to_owned());
    }
    let selection = &rule["selection"];
    let lists = ["tagPrefixList", "tagPatternList"];
    let filled = lists.iter().filter(|list| selection[**list].as_array().is_some_and(|tags| !tags.is_empty())).count();
    match selection["tagStatus"].as_str() {
        Some("tagged") if filled != 1 => {
            return Err("one of tagPrefixList and tagPatternList is required for tagged images".to_owned());
        }
        Some("untagged" | "any") if filled > 0 => return Err("only tagged images have lists of tags".to_owned()),
        Some("tagged" | "untagged" | "any") => {}
        _ => return Err("tagStatus must be tagged, untagged or any".to_owned()),
    }
    match (selection["countType"].as_str(), selection["countUnit"].as_str()) {
        (Some("imageCountMoreThan"), None) => {}
        (Some("sinceImagePushed" | "sinceImagePulled" | "sinceImageTransitioned"), Some("days")) => {}
        (Some("imageCountMoreThan"), Some(_)) => return Err("countUnit is for countType sinceImagePushed".to_owned()),
        (Some("sinceImagePushed" | "sinceImagePulled" | "sinceImageTransitioned"), _) => {
            return Err("countUnit must be days".to_owned());
        }
        _ => return Err("countType must be imageCountMoreThan or sinceImagePushed".to_owned()),
    }
    if selection["countNumber"].as_i64().is_none_or(|number| number < 1) {
        return Err("countNumber is a number from 1".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let selection = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
        let mut rule = json!({"rulePriority": 1, "selection": selection, "action": {"type": "expire"}});
        change(&mut rule);
        check(&json!({"rules": [rule]}).to_string())
    }

    #[test]
    fn the_grammar_is_kept() {
        with(|_| {}).unwrap();
        with(|rule| rule["description"] = json!("x")).unwrap();
        with(|rule| {
            rule["selection"] = json!({
                "tagStatus": "tagged", "tagPrefixList": ["v"], "countType": "sinceImagePushed", "countUnit": "days",
                "countNumber": 14,
            });
        })
        .unwrap();
        with(|rule| rule["priority"] = json!(1)).unwrap_err();
        with(|rule| rule["rulePriority"] = json!(0)).unwrap_err();
        with(|rule| rule["action"] = json!({"type": "keep"})).unwrap_err();
        with(|rule| rule["selection"]["tagStatus"] = json!("tagged")).unwrap_err();
        with(|rule| rule["selection"]["tagPrefixList"] = json!(["v"])).unwrap_err();
        with(|rule| rule["selection"]["countType"] = json!("sinceImagePushed")).unwrap_err();
        with(|rule| rule["selection"]["countUnit"] = json!("days")).unwrap_err();
        with(|rule| rule["selection"]["countNumber"] = json!("1")).unwrap_err();
        for text in ["{", "[]", "{}", r#"{"rules": []}"#] {
            check(text).unwrap_err();
        }
    }
}
