//! The `switchback` binary as an operator meets it: start, status, log, resume.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use switchback_model::record::{
    Body, Captured, CreateStarted, Created, Direction, Draft, Json, RollbackStarted, RolledBack, Undone, UndoneHow,
    Verified,
};
use switchback_model::{Generation, StepId};
use tokio::time::Instant;

use crate::engine::{self, Failure, Shape};

/// The built binary, beside this one.
pub(crate) fn switchback() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("switchback");
    if path.exists() { Ok(path) } else { Err(format!("{} is not built", path.display()).into()) }
}

/// The median time of that many runs of a command, which must succeed.
pub(crate) fn median(runs: usize, args: &[&str]) -> Result<Duration, Failure> {
    let binary = switchback()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let done = Command::new(&binary).args(args).stdin(Stdio::null()).output()?;
        times.push(start.elapsed());
        if !done.status.success() {
            return Err(format!("switchback {args:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
    }
    times.sort();
    Ok(times[runs / 2])
}

/// A journal with one run that has at least `records` records: 1,000 steps that go forward and
/// back, generation after generation.
pub(crate) fn large_journal(folder: &Path, records: usize) -> Result<usize, Failure> {
    let store = engine::store(folder)?;
    let plan = engine::plan(Shape::Wide, 1000);
    let (_, mut journal) = engine::create(&store, &plan)?;
    let steps: Vec<StepId> = plan.steps.iter().map(|s| s.id.clone()).collect();
    let empty = Json::new(&serde_json::json!({}))?;
    let output = Json::new(&serde_json::json!({ "n": 1 }))?;
    let mut written = 2;
    let mut generation = Generation::FIRST;
    while written < records {
        let forward: [Body; 4] = [
            Captured { before: empty.clone() }.into(),
            CreateStarted { token: "0".repeat(32), params: output.clone() }.into(),
            Created { output: output.clone() }.into(),
            Verified { output: None, compared: vec![] }.into(),
        ];
        let back: [Body; 3] = [
            RollbackStarted { output: Some(output.clone()) }.into(),
            RolledBack {}.into(),
            Undone { how: UndoneHow::Verified, compared: vec![], reason: None }.into(),
        ];
        for (direction, bodies) in [(Direction::Forward, &forward[..]), (Direction::Unwinding, &back[..])] {
            for body in bodies {
                let batch: Vec<Draft> = steps
                    .iter()
                    .map(|s| Draft {
                        at: Timestamp::UNIX_EPOCH,
                        step: Some(s.clone()),
                        generation,
                        direction,
                        body: body.clone(),
                    })
                    .collect();
                written += batch.len();
                journal.append(batch)?;
            }
        }
        generation = generation.next();
    }
    Ok(written)
}

/// The time from the start of `switchback resume` to the first record of a new step, in a run of
/// `n` steps of which all but the last few are done.
pub(crate) fn resume_latency(folder: &Path, n: usize) -> Result<Duration, Failure> {
    let binary = switchback()?;
    let runbook = folder.join("runbook.yaml");
    let mut text = String::from("runbook: bench\nversion: 1\nphases:\n  - name: only\n    steps:\n");
    for i in 0..n {
        text.push_str(&format!("      - id: s{i}\n        op: control.checkpoint\n"));
        if i > 0 {
            text.push_str(&format!("        needs: [s{}]\n", i - 1));
        }
    }
    std::fs::write(&runbook, text)?;
    let state = folder.join("state");
    let to = format!("s{}", n - 10);
    let applied = Command::new(&binary)
        .args(["--state"])
        .arg(&state)
        .args(["apply", "--auto-approve", "--to", &to])
        .arg(&runbook)
        .output()?;
    if !applied.status.success() {
        return Err(format!("apply: {}", String::from_utf8_lossy(&applied.stderr)).into());
    }
    let start = Instant::now();
    let mut resume = Command::new(&binary)
        .args(["--json", "--state"])
        .arg(&state)
        .arg("resume")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut first = None;
    if let Some(out) = resume.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line?;
            if first.is_none() && line.contains("\"Created\"") {
                first = Some(start.elapsed());
            }
        }
    }
    resume.wait()?;
    first.ok_or_else(|| "the resumed run made no step".into())
}
