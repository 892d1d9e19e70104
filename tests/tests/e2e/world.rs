//! The sandbox's world in a form to compare: what exists, without the ids that are made anew
//! for every run.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that exists, with each id replaced by what it is called. Things that AWS makes by
/// itself along with another are left out.
pub fn nameless(world: &Value) -> Value {
    let all: Vec<&Value> =
        world["resources"].as_array().expect("a list of resources").iter().filter(|r| r["default"] != true).collect();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for r in world["resources"].as_array().expect("a list of resources") {
        let (id, kind) = (text(r, "id"), text(r, "kind"));
        let step = r["tags"]["switchback:step"].as_str();
        let name = step.or_else(|| r["tags"]["Name"].as_str()).or_else(|| r["attributes"]["name"].as_str());
        names.insert(id, format!("{kind}:{}", name.unwrap_or("-")));
    }
    let mut out: Vec<Value> = all
        .into_iter()
        .map(|r| {
            let mut r = r.clone();
            if let Some(tags) = r["tags"].as_object_mut() {
                tags.remove("switchback:run");
                tags.remove("switchback:generation");
            }
            // Which address an interface gets depends on which of them came first.
            if r["kind"] == "network-interface"
                && let Some(attributes) = r["attributes"].as_object_mut()
            {
                attributes.remove("address");
            }
            rename(&mut r, &names);
            sort(&mut r["attributes"]);
            r
        })
        .collect();
    out.sort_by_key(ToString::to_string);
    Value::Array(out)
}

/// Lists are in the order of ids, which says nothing once the ids are replaced.
fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(ToString::to_string);
        }
        Value::Object(map) => map.values_mut().for_each(sort),
        _ => {}
    }
}

fn text(r: &Value, field: &str) -> String {
    r[field].as_str().unwrap_or_default().to_owned()
}

fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(s) => {
            for (id, name) in names {
                if s.contains(id.as_str()) {
                    *s = s.replace(id.as_str(), name);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| rename(v, names)),
        Value::Object(map) => map.values_mut().for_each(|v| rename(v, names)),
        _ => {}
    }
}
