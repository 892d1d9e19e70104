//! The cache of steps' states: right when it is fresh, stale, half full or gone.

use std::collections::BTreeMap;

use rusqlite::Connection;
use switchback_engine::journal::Journal as _;
use switchback_journal::{StepHead, Store};
use switchback_model::RunId;
use switchback_model::status::State as StepState;

use crate::support::{PLAN, State, all, run_id, started, step_records};

/// What the records themselves say.
fn expected(store: &Store, run: RunId) -> Vec<(String, StepState, u64)> {
    let mut heads = BTreeMap::new();
    for record in all(store, run).unwrap() {
        if let Some(step) = record.draft.step {
            let state = match record.draft.body.kind() {
                "Captured" => StepState::Captured,
                "CreateStarted" => StepState::CreateStarted,
                "Created" => StepState::Created,
                "Verified" => StepState::Verified,
                other => panic!("{other}"),
            };
            heads.insert(step.to_string(), (state, record.seq.0));
        }
    }
    heads.into_iter().map(|(step, (state, seq))| (step, state, seq)).collect()
}

fn check(store: &Store, run: RunId) {
    let heads = store.heads(run).unwrap();
    let got: Vec<_> = heads.iter().map(|h: &StepHead| (h.step.to_string(), h.state, h.seq.0)).collect();
    let expected = expected(store, run);
    assert_eq!(got, expected);
    let mut counts = BTreeMap::new();
    for (_, state, _) in expected {
        *counts.entry(state).or_default() += 1;
    }
    assert_eq!(store.head_counts(run).unwrap(), counts);
}

fn folded(state: &State) -> u64 {
    let conn = Connection::open(state.file()).unwrap();
    let seq: i64 = conn.query_row("SELECT coalesce(max(seq), 0) FROM folded", [], |row| row.get(0)).unwrap();
    seq.unsigned_abs()
}

#[test]
fn heads_are_right_whatever_the_cache_holds() {
    let state = State::new();
    let run = run_id(1);
    let store = state.open();
    let mut journal = store.create_run(run, PLAN, started(), "apply").unwrap();
    check(&store, run);
    // Every fifth step stops half way, so that the fold goes on over the cache's border.
    for n in 0..1500 {
        let mut records = step_records(&format!("step{n:05}"));
        let rest = records.split_off(if n % 5 == 0 { 2 } else { 4 });
        journal.append(records).unwrap();
        if n == 1100 || n == 1400 {
            check(&store, run);
        }
        if n % 10 == 0 && n > 1000 {
            journal.append(rest).unwrap();
        }
    }
    let stale = folded(&state);
    assert!(stale >= 4096 && stale < journal.last().0, "{stale}");
    check(&store, run);
    let last = journal.last().0;
    drop(journal);
    assert_eq!(folded(&state), last, "a clean close brings it up to date");
    check(&store, run);
    drop(store);
    state.tamper("DELETE FROM step_heads; DELETE FROM folded;");
    check(&state.open_read_only(), run);
    drop(state.open().take_run(run, "resume").unwrap());
    assert_eq!(folded(&state), last + 1, "it is built anew");
    check(&state.open_read_only(), run);
}

#[test]
fn runs_do_not_see_each_others_steps() {
    let state = State::new();
    let store = state.open();
    let mut one = store.create_run(run_id(1), PLAN, started(), "apply").unwrap();
    let mut two = store.create_run(run_id(2), PLAN, started(), "apply").unwrap();
    one.append(step_records("a")).unwrap();
    two.append(step_records("b")).unwrap();
    one.append(step_records("c")).unwrap();
    two.append(step_records("c")[..1].to_vec()).unwrap();
    let check_both = || {
        check(&store, run_id(1));
        check(&store, run_id(2));
        assert_eq!(all(&store, run_id(1)).unwrap().len(), 10);
        assert_eq!(all(&store, run_id(2)).unwrap().len(), 7);
    };
    check_both();
    drop(one);
    drop(two);
    // Now from the cache.
    check_both();
}
