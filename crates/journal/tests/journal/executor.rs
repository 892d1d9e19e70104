//! One executor a run: lock, epoch, fence; and readers beside it.

use std::sync::atomic::{AtomicBool, Ordering};

use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::Holder;
use switchback_model::record::{Completed, Direction, ExecutorStarted, UnwindCause, UnwindStarted, UnwindTarget};
use switchback_model::{Epoch, ErrorClass};

use crate::support::{PLAN, State, all, draft, run_id, started, step_records};

#[test]
fn two_cannot_take_the_same_run() {
    let state = State::new();
    let run = run_id(1);
    let journal = state.create(run);
    let store = state.open();
    assert_eq!(store.lock_holder(run).unwrap(), Some(Holder { pid: 4711, host: "laptop".into() }));
    let refused = store.take_run(run, "resume").unwrap_err();
    assert!(matches!(&refused, JournalError::Locked { run: r, holder: Some(h) } if *r == run && h.contains("4711")));
    assert_eq!(all(&store, run).unwrap().len(), 2, "the one who was refused wrote nothing");
    let another = store.create_run(run_id(2), PLAN, started(), "apply").unwrap();
    drop(journal);
    assert_eq!(store.lock_holder(run).unwrap(), None);
    let journal = store.take_run(run, "resume").unwrap();
    assert_eq!(journal.epoch(), Epoch(2));
    assert!(matches!(store.take_run(run_id(3), "resume"), Err(JournalError::NoSuchRun(_))));
    drop(another);

    // Looked at before anything is written.
    drop(journal);
    let lock = store.lock(run).unwrap();
    assert_eq!(all(&store, run).unwrap().len(), 3);
    let journal = store.take_locked(lock, "unwind").unwrap();
    let records = all(&store, run).unwrap();
    assert_eq!(records[3].draft.body, ExecutorStarted { epoch: Epoch(3), command: "unwind".into() }.into());
    drop(journal);
}

#[test]
fn an_executor_starts_in_the_direction_of_the_run() {
    let state = State::new();
    let run = run_id(1);
    let cause = UnwindCause::Asked { reason: None };
    let unwind = UnwindStarted { target: UnwindTarget::All, keep: vec![], cause };
    state.create(run).append(vec![draft(None, unwind)]).unwrap();
    let store = state.open();
    drop(store.take_run(run, "unwind").unwrap());
    assert_eq!(all(&store, run).unwrap()[3].draft.direction, Direction::Unwinding);
}

#[test]
fn who_was_taken_over_writes_nothing_more() {
    let state = State::new();
    let run = run_id(1);
    let store = state.open();
    let mut old = store.create_run(run, PLAN, started(), "apply").unwrap();
    old.append(step_records("vpc")).unwrap();
    let fence = old.fence();
    fence.check().unwrap();
    // Another host does not see the lock.
    std::fs::remove_file(state.folder().join("locks").join(format!("{run}.lock"))).unwrap();
    let mut new = store.take_run(run, "resume").unwrap();
    assert_eq!(new.epoch(), Epoch(2));

    let refused = old.append(step_records("subnet")).unwrap_err();
    assert!(
        matches!(refused, JournalError::TakenOver { run: r, ours: Epoch(1), newest: Epoch(2) } if r == run),
        "{refused:?}"
    );
    let refused = fence.check().unwrap_err();
    assert_eq!(refused.class, ErrorClass::Unavailable);
    assert!(refused.message.contains("taken over"), "{refused}");
    assert!(old.append(step_records("subnet")).is_err(), "and it stays so");
    new.fence().check().unwrap();
    new.append(vec![draft(None, Completed {})]).unwrap();
    drop(old);
    new.append(step_records("subnet")).unwrap();
    drop(new);
    assert_eq!(all(&store, run).unwrap().len(), 2 + 4 + 1 + 1 + 4);
}

#[test]
fn a_fence_that_cannot_read_lets_nothing_pass() {
    let state = State::new();
    let run = run_id(1);
    let journal = state.create(run);
    let fence = journal.fence();
    state.tamper("DELETE FROM records");
    let refused = fence.check().unwrap_err();
    assert_eq!(refused.class, ErrorClass::Unavailable);
}

#[test]
fn a_record_that_vanished_ends_the_run_at_once() {
    for sql in [
        "DELETE FROM records WHERE seq > 4",
        "DELETE FROM records",
        "UPDATE records SET hash = zeroblob(32) WHERE seq = 6",
    ] {
        let state = State::new();
        let run = run_id(1);
        let mut journal = state.create(run);
        journal.append(step_records("vpc")).unwrap();
        state.tamper(sql);
        let refused = journal.append(step_records("subnet")).unwrap_err();
        assert!(matches!(refused, JournalError::Tampered { .. }), "{sql}: {refused:?}");
    }
}

#[test]
fn readers_see_whole_batches_while_a_run_is_written() {
    let state = State::new();
    let run = run_id(1);
    let mut journal = state.create(run);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = state.open_read_only();
                let (mut last, mut rounds) = (0, 0);
                while !done.load(Ordering::Acquire) || rounds == 0 {
                    rounds += 1;
                    let records = all(&store, run).unwrap();
                    assert!(records.len() >= last);
                    assert_eq!((records.len() - 2) % 8, 0, "half a batch");
                    last = records.len();
                    let heads = store.heads(run).unwrap();
                    assert_eq!(heads.len() % 2, 0);
                    assert!(store.tail(run, None, 7).unwrap().len() <= 7);
                    assert_eq!(store.runs().unwrap().len(), 1);
                }
            });
        }
        for n in 0..700 {
            let mut batch = step_records(&format!("left{n}"));
            batch.extend(step_records(&format!("right{n}")));
            journal.append(batch).unwrap();
        }
        done.store(true, Ordering::Release);
    });
    drop(journal);
    assert_eq!(all(&state.open_read_only(), run).unwrap().len(), 2 + 700 * 8);
}
