//! What is right is rehearsed without a finding.

use std::sync::Arc;

use switchback_model::plan::OnFailure;
use switchback_rehearsal::{Config, Summary, rehearse};
use switchback_testing::yard::{Piece, subject};

fn run(on_failure: OnFailure) -> Summary {
    let subject = subject(&Piece::ALL, on_failure, None).unwrap();
    rehearse(&subject, &Config::default(), &(Arc::new(|_| {}) as _)).unwrap()
}

fn finds_nothing(on_failure: OnFailure) {
    let summary = run(on_failure);
    eprintln!("{:?} {:?} {} {}", summary.took, summary.cases, summary.processes, summary.states);
    for finding in &summary.findings {
        eprintln!("{:#?}", finding);
    }
    assert!(summary.findings.is_empty(), "{} groups", summary.findings.len());
}

#[test]
fn a_run_that_unwinds_by_itself() {
    finds_nothing(OnFailure::Unwind);
}

#[test]
fn a_run_that_pauses() {
    finds_nothing(OnFailure::Pause);
}

#[test]
fn a_run_that_unwinds_to_a_checkpoint() {
    finds_nothing(OnFailure::UnwindTo("build".to_owned()));
}
