//! What is right is rehearsed without a finding.

use std::sync::Arc;

use switchback_model::plan::OnFailure;
use switchback_model::rehearsal::CaseKind;
use switchback_rehearsal::{Config, rehearse};
use switchback_testing::yard::{Piece, subject};

/// Rehearses a plan of everything; the findings, as text.
fn found(on_failure: OnFailure) -> Vec<String> {
    let subject = subject(&Piece::ALL, on_failure, None).unwrap();
    let summary = rehearse(&subject, &Config::default(), &(Arc::new(|_| {}) as _)).unwrap();
    let cases = |kind: &CaseKind| summary.cases.get(kind).is_some_and(|count| count.run > 0);
    let all = CaseKind::ALL.into_iter().filter(|kind| *kind != CaseKind::Order);
    assert!(all.clone().all(|kind| cases(&kind)), "every kind of case was there: {:?}", summary.cases);
    summary.findings.iter().map(|finding| format!("{finding:#?}")).collect()
}

#[test]
fn a_run_that_unwinds_by_itself() {
    assert_eq!(found(OnFailure::Unwind), [""; 0]);
}

#[test]
fn a_run_that_pauses() {
    assert_eq!(found(OnFailure::Pause), [""; 0]);
}

#[test]
fn a_run_that_unwinds_to_a_checkpoint() {
    assert_eq!(found(OnFailure::UnwindTo("build".to_owned())), [""; 0]);
}
