//! What was written is what is read.

use proptest::prelude::*;
use serde_json::json;
use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::RunState;
use switchback_model::record::*;
use switchback_model::status::{IllegalRecord, State as StepState, Status};
use switchback_model::{Epoch, Generation, OpError, Seq};

use crate::support::{PLAN, PLAN_HASH, State, all, draft, run_id, started, step_records, writer};

#[test]
fn a_run_reads_back_as_it_was_written() {
    let state = State::new();
    let store = state.open();
    let run = run_id(1);
    let mut journal = store.create_run(run, PLAN, started(), "apply").unwrap();
    assert_eq!((journal.run(), journal.epoch(), journal.last()), (run, Epoch(1), Seq(2)));
    let mut written = Vec::new();
    for step in ["vpc", "subnet[1a]"] {
        written.extend(journal.append(step_records(step)).unwrap());
    }
    journal.set_caller("arn:aws:iam::123456789012:user/operator");
    written.extend(journal.append(vec![draft(None, Completed {})]).unwrap());
    assert_eq!(journal.append(vec![]).unwrap(), vec![]);

    // While the journal is held, and after it was closed.
    let read = all(&store, run).unwrap();
    drop(journal);
    assert_eq!(all(&state.open_read_only(), run).unwrap(), read);

    assert_eq!(read.len(), 11);
    assert_eq!(read[0].draft.body, started().into());
    assert_eq!(read[1].draft.body, ExecutorStarted { epoch: Epoch(1), command: "apply".into() }.into());
    assert!(read[2..].iter().eq(written.iter().map(|r| &**r)));
    assert_eq!(read[9].actor.aws_caller, None);
    assert_eq!(read[10].actor.aws_caller.as_deref(), Some("arn:aws:iam::123456789012:user/operator"));
    assert_eq!(store.plan(run).unwrap(), PLAN);
}

#[test]
fn a_summary_says_where_a_run_stands() {
    let state = State::new();
    let store = state.open();
    let run = run_id(1);
    let mut journal = store.create_run(run, PLAN, started(), "apply").unwrap();
    let standing = || {
        let s = store.summary(run).unwrap();
        (s.state, s.direction, s.epoch.0, s.last.0)
    };
    use Direction::{Forward, Unwinding};
    assert_eq!(standing(), (RunState::Open, Forward, 1, 2));
    let mut append = |body: Body| journal.append(vec![draft(None, body)]).map(|_| ()).unwrap();
    append(Paused { why: "asked".into(), step: None }.into());
    assert_eq!(standing(), (RunState::Paused, Forward, 1, 3));
    append(Completed {}.into());
    assert_eq!(standing().0, RunState::Completed);
    append(
        UnwindStarted {
            target: UnwindTarget::To("a".into()),
            keep: vec![],
            cause: UnwindCause::Asked { reason: None },
        }
        .into(),
    );
    append(Stuck { steps: vec![("vpc".into(), OpError::permanent("no"))] }.into());
    assert_eq!(standing(), (RunState::Stuck, Unwinding, 1, 6));
    let finished = |all| UnwindFinished { target: UnwindTarget::All, all, residue: vec![] };
    append(finished(false).into());
    assert_eq!(standing(), (RunState::PartlyUnwound, Unwinding, 1, 7));
    append(ForwardStarted {}.into());
    assert_eq!(standing(), (RunState::Open, Forward, 1, 8));
    append(finished(true).into());
    assert_eq!(standing().0, RunState::Unwound);
    append(Refused { reasons: vec![] }.into());
    assert_eq!(standing().0, RunState::Refused);
    drop(journal);

    let other = run_id(2);
    drop(store.create_run(other, PLAN, started(), "apply").unwrap());
    let runs = store.runs().unwrap();
    assert_eq!(runs.iter().map(|r| r.run).collect::<Vec<_>>(), [run, other]);
    assert_eq!(runs[0], store.summary(run).unwrap());
    let summary = &runs[1];
    assert_eq!((summary.runbook.as_str(), summary.plan_hash.as_str()), ("demo", PLAN_HASH));
    assert_eq!(summary.endpoint, started().endpoint);
    assert!(summary.created_at <= summary.last_at);
    assert!(matches!(store.summary(run_id(3)), Err(JournalError::NoSuchRun(r)) if r == run_id(3)));
}

#[test]
fn a_tail_is_the_newest_or_what_follows() {
    let run = run_id(1);
    let state = State::with_run(run, 3);
    let store = state.open_read_only();
    let records = all(&store, run).unwrap();
    assert_eq!(records.len(), 14);
    assert_eq!(store.tail(run, None, 5).unwrap(), records[9..]);
    assert_eq!(store.tail(run, None, 500).unwrap(), records);
    assert_eq!(store.tail(run, None, 0).unwrap(), []);
    assert_eq!(store.tail(run, Some(Seq(0)), 3).unwrap(), records[..3]);
    assert_eq!(store.tail(run, Some(Seq(10)), 2).unwrap(), records[10..12]);
    assert_eq!(store.tail(run, Some(Seq(14)), 2).unwrap(), []);
    assert_eq!(store.tail(run, Some(Seq(u64::MAX)), 2).unwrap(), []);
}

#[test]
fn a_fold_that_refuses_a_record_ends_the_replay() {
    let run = run_id(1);
    let state = State::with_run(run, 1);
    let refusal = IllegalRecord {
        record: "Captured",
        generation: Generation(1),
        state: StepState::Verified,
        current: Generation(1),
    };
    let mut seen = 0;
    let error = state
        .open_read_only()
        .replay(run, &mut |record| {
            seen += 1;
            if record.seq == Seq(3) { Err(refusal.clone()) } else { Ok(()) }
        })
        .unwrap_err();
    assert!(matches!(error, JournalError::Illegal { seq: Seq(3), source } if source == refusal));
    assert_eq!(seen, 3);
}

#[test]
fn a_plan_that_is_not_the_one_named_is_refused() {
    let state = State::new();
    let store = state.open();
    assert!(store.create_run(run_id(1), "{}", started(), "apply").is_err());
    drop(store.create_run(run_id(1), PLAN, started(), "apply").unwrap());
    let twice = store.create_run(run_id(1), PLAN, started(), "apply").unwrap_err();
    assert!(matches!(twice, JournalError::Store { .. }), "{twice:?}");
    assert_eq!(all(&store, run_id(1)).unwrap().len(), 2);
    assert_eq!(store.runs().unwrap().len(), 1);
}

#[test]
fn everything_in_the_folder_is_the_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = State::new();
    let journal = state.create(run_id(1));
    let mode = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.folder()), 0o700);
    assert_eq!(mode(state.folder().join("locks")), 0o700);
    let files = state.contents();
    assert_eq!(files.len(), 4, "journal.db, its -wal and -shm, one lock: {files:?}");
    for (file, _) in files {
        assert_eq!(mode(file.clone()), 0o600, "{}", file.display());
    }
    drop(journal);
    assert_eq!(state.contents().len(), 4, "closing leaves no other files, and takes none away");
    assert_eq!(std::fs::metadata(state.folder().join("journal.db-wal")).unwrap().len(), 0);
}

#[test]
fn processes_that_create_a_journal_at_the_same_time_share_it() {
    let state = State::new();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let state = &state;
            scope.spawn(move || drop(state.create(run_id(n))));
        }
    });
    assert_eq!(state.open_read_only().runs().unwrap().len(), 4);
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z\\[\\]0-9 ]{0,12}",
        1 => ".{0,40}",
        1 => Just("'; DROP TABLE records; --\u{0}\u{1F600}\"\\\n".to_owned()),
    ]
}

fn errors() -> impl Strategy<Value = OpError> {
    (texts(), proptest::option::of(texts())).prop_map(|(message, hint)| OpError {
        hint,
        code: Some("DependencyViolation".into()),
        ..OpError::permanent(message)
    })
}

/// Any record of a step that the status function may meet.
fn bodies() -> impl Strategy<Value = Body> {
    let value = || texts().prop_map(|t| Json::new(&json!({"t": t, "n": [1.5, null]})).unwrap());
    let compared = || {
        proptest::collection::vec(texts(), 0..3).prop_map(|texts| {
            texts.into_iter().map(|t| Comparison { what: t.clone(), want: json!(t), got: json!(1) }).collect::<Vec<_>>()
        })
    };
    prop_oneof![
        4 => value().prop_map(|before| Captured { before }.into()),
        1 => errors().prop_map(|error| CaptureFailed { error }.into()),
        4 => (texts(), value()).prop_map(|(token, params)| CreateStarted { token, params }.into()),
        1 => errors().prop_map(|error| CreateFailed { error }.into()),
        4 => value().prop_map(|output| Created { output }.into()),
        1 => value().prop_map(|output| Adopted { output, proof: Proof::Weak, reason: None }.into()),
        1 => errors().prop_map(|error| SettleFailed { error }.into()),
        1 => (errors(), compared()).prop_map(|(error, compared)| VerifyFailed { error, compared }.into()),
        4 => (proptest::option::of(value()), compared())
            .prop_map(|(output, compared)| Verified { output, compared }.into()),
        1 => texts().prop_map(|reason| Skipped { reason }.into()),
        1 => texts().prop_map(|reason| MarkedDone { reason, output: None, verified: true }.into()),
        4 => proptest::option::of(value()).prop_map(|output| RollbackStarted { output }.into()),
        4 => Just(RolledBack {}.into()),
        1 => errors().prop_map(|error| RollbackFailed { error }.into()),
        4 => compared().prop_map(|compared| Undone { how: UndoneHow::Verified, compared, reason: None }.into()),
        1 => compared().prop_map(|compared| UndoFailed { compared }.into()),
        1 => texts().prop_map(|reason| RollbackSkipped { reason }.into()),
        1 => texts().prop_map(|reason| RollbackMarkedDone { reason }.into()),
        2 => (texts(), 1_u32..9, any::<u64>()).prop_map(|(operation, attempt, duration_ms)| Called {
            service: "ec2".into(), operation, request_id: None, status: Some(200), code: None, attempt, duration_ms,
        }.into()),
        1 => errors().prop_map(|error| Retried { method: "create".into(), attempt: 1, error, delay_ms: 9 }.into()),
    ]
}

fn of_run() -> impl Strategy<Value = Body> {
    prop_oneof![
        texts().prop_map(|why| Paused { why, step: Some("vpc".into()) }.into()),
        errors().prop_map(|error| Stuck { steps: vec![("vpc".into(), error)] }.into()),
        Just(Swept { left: vec![] }.into()),
        Just(Completed {}.into()),
        (0_u32..9).prop_map(|captured| PreflightPassed { captured, later: 0 }.into()),
    ]
}

/// What one call of `append` is made of: candidates, of which the legal ones are written.
fn candidates() -> impl Strategy<Value = (usize, bool, Body, i64)> {
    let nanos = -3_000_000_000_000_000_000_i64..8_000_000_000_000_000_000;
    prop_oneof![
        8 => (0_usize..4, any::<bool>(), bodies(), nanos.clone()),
        1 => (Just(usize::MAX), any::<bool>(), of_run(), nanos),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_legal_sequence_survives(
        batches in proptest::collection::vec(proptest::collection::vec(candidates(), 0..24), 1..12),
        reopen in any::<prop::sample::Index>(),
    ) {
        const STEPS: [&str; 4] = ["vpc", "subnet[1a]", "schritt-ö", "x"];
        let state = State::new();
        let run = run_id(1);
        let store = state.open();
        let mut journal = store.create_run(run, PLAN, started(), "apply").unwrap();
        let mut written = all(&store, run).unwrap();
        let mut statuses = vec![Status::default(); STEPS.len()];
        let reopen = reopen.index(batches.len());
        for (i, batch) in batches.into_iter().enumerate() {
            let mut drafts = Vec::new();
            for (step, next, body, nanos) in batch {
                let direction = if next { Direction::Unwinding } else { Direction::Forward };
                let mut draft = Draft { direction, ..draft(STEPS.get(step).copied(), body) };
                draft.at = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap();
                if let Some(status) = statuses.get_mut(step) {
                    draft.generation = if next { status.generation.next() } else { status.generation };
                    if status.apply(draft.generation, &draft.body).is_err() {
                        continue;
                    }
                }
                drafts.push(draft);
            }
            let expected = drafts.clone();
            let records = journal.append(drafts).unwrap();
            prop_assert!(records.iter().map(|r| &r.draft).eq(&expected));
            written.extend(records.iter().map(|r| (**r).clone()));
            if i == reopen {
                drop(journal);
                journal = store.take_run(run, "resume").unwrap();
                written.extend(store.tail(run, None, 1).unwrap());
            }
        }
        let mut replayed = vec![Status::default(); STEPS.len()];
        let read = all(&store, run).unwrap();
        for record in &read {
            if let Some(step) = &record.draft.step {
                let i = STEPS.iter().position(|s| *s == step.as_str()).unwrap();
                replayed[i].apply(record.draft.generation, &record.draft.body).unwrap();
            }
        }
        prop_assert_eq!(&read, &written);
        prop_assert_eq!(&replayed, &statuses);

        // The cache says the same, before and after it was written.
        for _ in 0..2 {
            let heads = store.heads(run).unwrap();
            for (step, status) in STEPS.iter().zip(&statuses) {
                let head = heads.iter().find(|h| h.step.as_str() == *step);
                let state = head.map_or(StepState::Fresh, |h| h.state);
                prop_assert_eq!(state, status.state);
                prop_assert_eq!(head.map_or(Generation::FIRST, |h| h.generation), status.generation);
            }
            let mut counts = std::collections::BTreeMap::new();
            for head in &heads {
                *counts.entry(head.state).or_default() += 1;
            }
            prop_assert_eq!(store.head_counts(run).unwrap(), counts);
            drop(journal);
            journal = switchback_journal::Store::open(&state.folder(), writer()).unwrap().take_run(run, "x").unwrap();
        }
    }
}
