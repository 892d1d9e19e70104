//! Nothing that comes in as a file makes it panic, and a plan is the same after any way around.

use proptest::prelude::*;
use switchback_engine::planner::{load_plan, plan_hash, plan_runbook, plan_text};
use switchback_engine::runbook::Source;

use crate::fakes::{plan_with, registry};
use crate::good::MISTERSMITH;

fn planned_or_not(bytes: &[u8]) {
    match Source::from_bytes("runbook.yaml", bytes) {
        Ok(source) => {
            if let Err(errors) = plan_runbook(&source, &registry(), &[].into()) {
                check(&errors);
            }
        }
        Err(errors) => check(&errors),
    }
}

fn check(errors: &switchback_engine::runbook::Diagnostics) {
    assert!(!errors.is_empty());
    let plain = errors.render(false, 80);
    assert!(plain.contains("runbook.yaml"), "{plain}");
    let _ = errors.render(true, 20);
    let _ = errors.to_string();
}

/// The runbook of the design with a piece cut out and another one put in.
fn damaged() -> impl Strategy<Value = String> {
    let piece = prop_oneof!["\\PC{0,12}", "[ \\n:\\-{}\\[\\]$&*!|>'\"#,a-z0-9]{0,16}"];
    (0..MISTERSMITH.len(), 0..40_usize, piece).prop_map(|(at, len, piece)| {
        let mut text = MISTERSMITH.to_owned();
        text.replace_range(at..(at + len).min(MISTERSMITH.len()), &piece);
        text
    })
}

/// Values that look like what a runbook is about.
fn for_each_map() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    prop::collection::btree_map("[a-zA-Z0-9_.-]{1,6}", "[ -~äß]{0,12}", 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_do_not_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        planned_or_not(&bytes);
    }

    #[test]
    fn texts_do_not_make_it_panic(text in "[ \\n\\t:\\-{}\\[\\]$&*!|>'\"#,.%@`a-z0-9ä]{0,120}") {
        planned_or_not(text.as_bytes());
    }

    #[test]
    fn damaged_runbooks_do_not_make_it_panic(text in damaged()) {
        planned_or_not(text.as_bytes());
    }

    #[test]
    fn every_prefix_is_a_plan_or_an_error(len in 0..MISTERSMITH.len()) {
        planned_or_not(&MISTERSMITH.as_bytes()[..len]);
    }

    #[test]
    fn plans_do_not_make_it_panic(text in "[ {}\\[\\]:,\"a-z0-9]{0,80}") {
        let _ = load_plan(&text, &registry());
    }

    #[test]
    fn any_value_arrives_as_it_is(map in for_each_map(), evil in "\\PC{0,20}") {
        prop_assume!(!map.keys().any(|k| k == "each.key" || k == "each.value"));
        let text = crate::fakes::phase(
            "      - { id: e, op: test.echo, for_each: \"${inputs.m}\", with: { text: \"${inputs.evil}${each.value}\", any: { k: \"${each.key}\" } } }\n",
        )
        .replace("phases:", "inputs: { m: { type: map }, evil: { type: string } }\nphases:");
        let planned = plan_with(&text, &[("m", &serde_json::to_string(&map).unwrap()), ("evil", &evil)]);
        let planned = planned.unwrap_or_else(|e| panic!("{}", e.render(false, 80)));
        prop_assert_eq!(planned.plan.steps.len(), map.len());
        for (step, (key, value)) in planned.plan.steps.iter().zip(&map) {
            let params = step.params.resolve(&|_| None).unwrap();
            prop_assert_eq!(&params["text"], &format!("{evil}{value}"));
            prop_assert_eq!(&params["any"]["k"], key);
        }
        let canonical = plan_text(&planned.plan);
        let back = load_plan(&canonical, &registry()).unwrap();
        prop_assert_eq!(plan_text(&back), canonical);
        prop_assert_eq!(plan_hash(&back), planned.hash);
    }
}
