//! What the calls of Elastic Load Balancing share: actions and conditions, tags, attributes, names and pages.
//!
//! Nothing here looks at the world.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::validation;
use crate::query::{Params, Tags, check_tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

/// A name of a load balancer or a target group.
pub(super) fn name(params: &Params, what: &str) -> Result<String, Refusal> {
    let name = params.get("Name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| validation(format!("A {what} name must be specified")))?;
    if name.len() > 32 {
        return Err(validation(format!("The {what} name '{name}' cannot be longer than '32' characters")));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.chars().all(fits) {
        return Err(validation(format!(
            "The {what} name '{name}' can only contain characters that are alphanumeric characters or hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(validation(format!("The {what} name '{name}' cannot begin or end with a hyphen(-)")));
    }
    Ok(name.to_owned())
}

pub(super) fn port(params: &Params) -> Result<i32, Refusal> {
    let port = params.number("Port")?.ok_or_else(|| validation("A port must be specified"))?;
    if !(1..=65535).contains(&port) {
        return Err(validation(format!("1 validation error detected: Value '{port}' at 'port' is not a port")));
    }
    Ok(port)
}

/// `Tags.member.N` of a create call.
pub(super) fn tags(params: &Params) -> Result<Tags, Refusal> {
    let pairs = params.tag_pairs("Tags.member");
    let tags: Tags =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.unwrap_or_default().to_owned())).collect();
    if tags.len() < pairs.len() {
        return Err(Refusal::new("DuplicateTagKeys", "A tag key was specified more than once"));
    }
    check_tags(&tags)?;
    Ok(tags)
}

/// `Attributes.member.N`; their keys must be among the defaults.
pub(super) fn attributes(
    params: &Params,
    defaults: &[(&str, &str)],
    what: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    let given = params.tag_pairs("Attributes.member").into_iter();
    given
        .map(|(key, value)| match defaults.iter().find(|(known, _)| *known == key) {
            Some((_, default)) if ["true", "false"].contains(default) => match value {
                Some("true" | "false") => Ok((key.to_owned(), value.unwrap_or_default().to_owned())),
                _ => Err(validation(format!("{what} attribute '{key}' must be 'true' or 'false'"))),
            },
            Some(_) => Ok((key.to_owned(), value.unwrap_or_default().to_owned())),
            None => Err(validation(format!("{what} attribute key '{key}' is not recognized"))),
        })
        .collect()
}

/// What is done with requests, out of a call; at least one.
pub(super) fn actions(params: &Params, prefix: &str) -> Result<Value, Refusal> {
    let mut all = Vec::new();
    for n in 1.. {
        let at = format!("{prefix}.member.{n}");
        let text = |name: &str| params.get(&format!("{at}.{name}"));
        let Some(kind) = text("Type") else { break };
        let mut it = Map::from_iter([("Type".to_owned(), json!(kind))]);
        match kind {
            "forward" => {
                let of_list = text("ForwardConfig.TargetGroups.member.1.TargetGroupArn");
                let group = text("TargetGroupArn").or(of_list);
                let group = group.ok_or_else(|| validation("A target group ARN must be specified"))?;
                it.insert("TargetGroupArn".to_owned(), json!(group));
            }
            "fixed-response" => {
                let of =
                    part(params, &format!("{at}.FixedResponseConfig"), &["StatusCode", "ContentType", "MessageBody"]);
                if !of.contains_key("StatusCode") {
                    return Err(validation("A status code must be specified for a fixed-response action"));
                }
                it.insert("FixedResponseConfig".to_owned(), Value::Object(of));
            }
            "redirect" => {
                let names = ["StatusCode", "Protocol", "Port", "Host", "Path", "Query"];
                let mut of = part(params, &format!("{at}.RedirectConfig"), &names);
                if !of.contains_key("StatusCode") {
                    return Err(validation("A status code must be specified for a redirect action"));
                }
                if of.len() == 1 {
                    return Err(super::misconfigured(
                        "The redirect configuration is not valid because it creates a loop.",
                    ));
                }
                // What was not given stays as in the request.
                for (name, same) in [
                    ("Protocol", "#{protocol}"),
                    ("Port", "#{port}"),
                    ("Host", "#{host}"),
                    ("Path", "/#{path}"),
                    ("Query", "#{query}"),
                ] {
                    of.entry(name).or_insert_with(|| json!(same));
                }
                it.insert("RedirectConfig".to_owned(), Value::Object(of));
            }
            other => return Err(validation(format!("The action type '{other}' is not supported by the sandbox"))),
        }
        all.push(Value::Object(it));
    }
    if all.is_empty() {
        return Err(validation("You must specify one action"));
    }
    Ok(Value::Array(all))
}

fn part(params: &Params, prefix: &str, names: &[&str]) -> Map<String, Value> {
    let given =
        names.iter().filter_map(|name| Some(((*name).to_owned(), json!(params.get(&format!("{prefix}.{name}"))?))));
    given.collect()
}

/// Which requests a rule is for.
pub(super) fn conditions(params: &Params) -> Result<Value, Refusal> {
    let mut all = Vec::new();
    for n in 1.. {
        let at = format!("Conditions.member.{n}");
        let Some(field) = params.get(&format!("{at}.Field")) else { break };
        let of_part = match field {
            "host-header" => "HostHeaderConfig",
            "path-pattern" => "PathPatternConfig",
            other => return Err(validation(format!("The field '{other}' is not supported by the sandbox"))),
        };
        let mut values = params.list(&format!("{at}.Values.member"));
        values.extend(params.list(&format!("{at}.{of_part}.Values.member")));
        if values.is_empty() {
            return Err(validation("A condition value must be specified"));
        }
        all.push(json!({"Field": field, "Values": values}));
    }
    if all.is_empty() {
        return Err(validation("A condition must be specified"));
    }
    Ok(Value::Array(all))
}

/// The target groups that actions forward to.
pub(super) fn groups_of(actions: &Value) -> Vec<String> {
    let all = actions.as_array().into_iter().flatten();
    all.filter_map(|it| it["TargetGroupArn"].as_str()).map(str::to_owned).collect()
}

pub(super) fn forwards_to(actions: &Value, group: &str) -> bool {
    let mut all = actions.as_array().into_iter().flatten();
    all.any(|it| it["TargetGroupArn"] == group)
}

pub(super) fn write_actions(xml: &mut Xml, name: &str, actions: &Value) {
    members(xml, name, actions.as_array().into_iter().flatten(), |xml, it| {
        for (name, value) in it.as_object().into_iter().flatten() {
            match value {
                Value::Object(of) => xml.tag(name, |xml| {
                    for (name, value) in of {
                        xml.leaf_if(name, value.as_str());
                    }
                }),
                other => xml.leaf_if(name, other.as_str()),
            }
        }
        if let Some(group) = it["TargetGroupArn"].as_str() {
            xml.tag("ForwardConfig", |xml| {
                members(xml, "TargetGroups", [group], |xml, group| {
                    xml.leaf("TargetGroupArn", group);
                    xml.leaf("Weight", 1);
                });
            });
        }
    });
}

pub(super) fn write_conditions(xml: &mut Xml, conditions: &Value) {
    members(xml, "Conditions", conditions.as_array().into_iter().flatten(), |xml, it| {
        let values = || it["Values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        xml.leaf_if("Field", it["Field"].as_str());
        let of_part = if it["Field"] == "host-header" { "HostHeaderConfig" } else { "PathPatternConfig" };
        texts(xml, "Values", values());
        xml.tag(of_part, |xml| texts(xml, "Values", values()));
    });
}

/// Attributes of a reply.
pub(super) fn write_attributes(attributes: &Value) -> String {
    let mut xml = Xml::new();
    members(&mut xml, "Attributes", attributes.as_object().into_iter().flatten(), |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value.as_str().unwrap_or_default());
    });
    xml.finish()
}

/// `<name><member>..</member>..</name>`.
pub(super) fn members<T>(
    xml: &mut Xml,
    name: &str,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut Xml, T),
) {
    xml.tag(name, |xml| {
        for item in items {
            xml.tag("member", |xml| each(xml, item));
        }
    });
}

/// A list of plain values.
pub(super) fn texts<T: std::fmt::Display>(xml: &mut Xml, name: &str, items: impl IntoIterator<Item = T>) {
    xml.tag(name, |xml| {
        for item in items {
            xml.leaf("member", item);
        }
    });
}

/// One page of the results, and the marker of the next.
pub(super) fn page<T>(params: &Params, mut all: Vec<T>) -> Result<(Vec<T>, Option<String>), Refusal> {
    let size = params.number("PageSize")?.unwrap_or(400);
    let size = usize::try_from(size).ok().filter(|size| (1..=400).contains(size));
    let size = size.ok_or_else(|| validation("PageSize must be between 1 and 400"))?;
    let start = match params.get("Marker") {
        None | Some("") => 0,
        Some(marker) => {
            let start = marker.parse().ok().filter(|start| *start <= all.len());
            start.ok_or_else(|| validation("The marker is not valid"))?
        }
    };
    let mut rest = all.split_off(start);
    let next = (rest.len() > size).then(|| (start + size).to_string());
    rest.truncate(size);
    Ok((rest, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_and_filled_in() {
        let call = |pairs: &[(&str, &str)]| {
            let call = pairs.iter().fold(Params::call("X"), |call, (name, value)| {
                call.with(format!("DefaultActions.member.1.{name}"), *value)
            });
            actions(&call, "DefaultActions")
        };
        let forward = call(&[("Type", "forward"), ("TargetGroupArn", "arn:a")]).unwrap();
        assert!(forwards_to(&forward, "arn:a") && !forwards_to(&forward, "arn:b"));
        let listed = call(&[("Type", "forward"), ("ForwardConfig.TargetGroups.member.1.TargetGroupArn", "arn:a")]);
        assert_eq!(groups_of(&listed.unwrap()), ["arn:a"]);
        let redirect =
            [("Type", "redirect"), ("RedirectConfig.StatusCode", "HTTP_301"), ("RedirectConfig.Port", "443")];
        assert_eq!(call(&redirect).unwrap()[0]["RedirectConfig"]["Host"], "#{host}");
        assert_eq!(call(&redirect[..2]).unwrap_err().code, "InvalidConfigurationRequest");
        assert_eq!(call(&[("Type", "forward")]).unwrap_err().code, "ValidationError");
        assert!(actions(&Params::call("X"), "DefaultActions").is_err());
    }

    #[test]
    fn attributes_are_known_or_refused() {
        let call = |key: &str, value: &str| {
            let call = Params::call("X").with("Attributes.member.1.Key", key);
            attributes(
                &call.with("Attributes.member.1.Value", value),
                &[("on", "false"), ("seconds", "60")],
                "Load balancer",
            )
        };
        assert_eq!(call("seconds", "90").unwrap()["seconds"], "90");
        assert!(call("on", "yes").is_err() && call("other", "1").is_err());
    }
}
