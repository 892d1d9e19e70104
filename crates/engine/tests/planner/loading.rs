//! Plans as text.

use switchback_engine::planner::{load_plan, plan_hash, plan_text};
use switchback_model::plan::Plan;

use crate::fakes::{plan, registry};
use crate::good::MISTERSMITH;

fn broken(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut value: serde_json::Value = serde_json::from_str(&plan_text(&plan(MISTERSMITH).plan)).unwrap();
    change(&mut value);
    match load_plan(&value.to_string(), &registry()) {
        Ok(_) => panic!("loaded"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_plan_survives_its_text() {
    let planned = plan(MISTERSMITH);
    let text = plan_text(&planned.plan);
    let back: Plan = load_plan(&text, &registry()).unwrap();
    assert_eq!(back, planned.plan);
    assert_eq!(plan_text(&back), text);
    assert_eq!(plan_hash(&back), planned.hash);
}

#[test]
fn a_plan_that_cannot_be_used_says_why() {
    assert_eq!(broken(|p| p["format"] = 99.into()), "the plan has format 99, this release reads format 1");
    assert_eq!(
        broken(|p| p["steps"][0]["op"] = "net.gone".into()),
        "step `vpc` uses the operation `net.gone`, which this release does not have"
    );
    assert_eq!(
        broken(|p| p["steps"][0]["op_version"] = 2.into()),
        "step `vpc` was planned for version 2 of `net.vpc`, this release has version 1"
    );
    assert_eq!(
        broken(|p| p["steps"][0]["params"]["lit"]["cidr_block"] = "x".into()),
        "step `vpc`: `cidr_block`: `x` is not a CIDR block"
    );
    assert_eq!(broken(|p| p["steps"][1]["id"] = "vpc".into()), "the plan has two steps `vpc`");
    assert_eq!(broken(|p| p["steps"][0]["phase"] = 1.into()), "step `subnet[1a]` is not in the order of the phases");
    assert_eq!(broken(|p| p["steps"][4]["phase"] = 7.into()), "step `healthy` is not in the order of the phases");
    assert_eq!(
        broken(|p| p["steps"][1]["needs"] = serde_json::json!(["nobody"])),
        "step `subnet[1a]` needs `nobody`, which is not there in its phase or before"
    );
    assert_eq!(
        broken(|p| p["steps"][1]["needs"] = serde_json::json!([])),
        "step `subnet[1a]` refers to `vpc` without needing it"
    );
    assert_eq!(
        broken(|p| p["steps"][0]["needs"] = serde_json::json!(["db_subnets"])),
        "steps wait for each other: vpc -> db_subnets -> subnet[1a] -> vpc"
    );
    assert_eq!(
        broken(|p| p["policy"]["on_failure"] = serde_json::json!({"unwind_to": "x"})),
        "there is no phase or step `x` to unwind to"
    );
    assert_eq!(broken(|p| p["phases"] = serde_json::json!(["a", "a"])), "the plan has two phases `a`");
    assert!(broken(|p| p["surprise"] = 1.into()).starts_with("the plan cannot be read at line 1"));
    assert_eq!(
        load_plan("{\"format\": 1,", &registry()).unwrap_err().to_string(),
        "the plan cannot be read at line 1, column 13"
    );
}

#[test]
fn the_deepest_plan_can_be_read_again() {
    let nest = |n: usize, inner: &str| format!("{}{inner}{}", "[".repeat(n), "]".repeat(n));
    let deepest = |n: usize, m: usize, k: usize| {
        let text = crate::fakes::phase(&format!(
            "      - {{ id: a, op: test.echo }}\n      - {{ id: e, op: test.echo, for_each: {{ k: {} }}, with: {{ any: {} }} }}\n",
            nest(m, "\"${inputs.d}\""),
            nest(k, "\"${each.value}\", \"${a.text}\""),
        ))
        .replace("phases:", &format!("inputs: {{ d: {{ type: list, default: {} }} }}\nphases:", nest(n, "")));
        crate::fakes::plan_with(&text, &[])
    };
    let most = |good: &dyn Fn(usize) -> bool| (1..100).take_while(|n| good(*n)).last().unwrap();
    let (n, m, k) =
        (most(&|n| deepest(n, 1, 1).is_ok()), most(&|m| deepest(1, m, 1).is_ok()), most(&|k| deepest(1, 1, k).is_ok()));
    assert!(n > 10 && m > 10 && k > 10, "{n} {m} {k}");
    let planned = deepest(n, m, k).unwrap();
    assert_eq!(load_plan(&plan_text(&planned.plan), &registry()).unwrap(), planned.plan);
}
