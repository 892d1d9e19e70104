//! The benchmarks of DESIGN section 10 that the engine can answer by itself. Each figure stands
//! beside its limit or its peer, measured in the same run: disks and machines differ tenfold,
//! ratios do not.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod commands;
mod engine;
mod migration;
mod noop;
mod peers;
mod rehearsal;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;

use crate::engine::{Failure, Shape};

#[derive(Parser)]
#[command(about = "The benchmarks of Switchback, each beside its peer and its limit")]
struct Args {
    /// A tenth of the work.
    #[arg(long)]
    quick: bool,
    /// Only the rehearsals: of this runbook, and of generated ones.
    #[arg(long, value_name = "FILE")]
    rehearsal: Option<std::path::PathBuf>,
    /// Only this runbook on moto, beside the AWS CLI and boto3.
    #[arg(long, value_name = "FILE")]
    peers: Option<std::path::PathBuf>,
    /// Runs a wide plan of that many steps and prints the peak of its memory, in kB.
    #[arg(long, hide = true)]
    memory_of: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match (args.memory_of, &args.rehearsal, &args.peers) {
        (Some(n), ..) => memory(n),
        (None, Some(runbook), _) => rehearsals(runbook, args.quick),
        (None, None, Some(runbook)) => peers(runbook),
        (None, None, None) => all(args.quick),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn line(what: &str, measured: &str, beside: &str, goal: &str) {
    println!("{what:<44} {measured:>18}   {beside:<44} {goal}");
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

fn ms(d: Duration) -> String {
    format!("{:.1} ms", d.as_secs_f64() * 1e3)
}

fn peers(runbook: &Path) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("switchback-bench").tempdir_in(".")?;
    migration::beside_peers(folder.path(), runbook)
}

fn all(quick: bool) -> Result<(), Failure> {
    let scale = if quick { 10 } else { 1 };
    let folder = tempfile::Builder::new().prefix("switchback-bench").tempdir_in(".")?;
    let root = folder.path();
    let mut runs = 0;
    let mut fresh = || -> Result<std::path::PathBuf, Failure> {
        runs += 1;
        let path = root.join(format!("run{runs}"));
        std::fs::create_dir_all(&path)?;
        Ok(path)
    };
    line("what", "measured", "beside it, in this run", "goal");

    let raw = engine::raw_commits(&fresh()?, 2000 / scale)?;
    line("raw durable SQLite commits", &format!("{raw:.0} /s"), "", "(the limit of a chain)");

    let n = 1000;
    let mut thousand = None;
    for (shape, name, goal) in
        [(Shape::Chain, "chain of 1,000", "0.8"), (Shape::WaitingChain, "chain of 1,000, capture waits", "0.45")]
    {
        let chains = beside_raw(shape, n, if quick { 3 } else { 9 }, &mut fresh)?;
        for (way, chain) in [("forward", chains.forward), ("back", chains.back)] {
            let goal = if way == "forward" { format!("at least {goal} steps a raw commit") } else { String::new() };
            line(
                &format!("{name}, {way}"),
                &format!("{:.0} steps/s", count(n) / chain.time.as_secs_f64()),
                &format!("{:.2} steps a raw commit", chain.ratio),
                &goal,
            );
        }
        thousand.get_or_insert(engine::Took { forward: chains.forward.time, back: chains.back.time });
    }
    if let Some(thousand) = thousand {
        let n = 10_000 / scale as usize;
        let took = engine::run(&fresh()?, engine::plan(Shape::Chain, n), true)?;
        let times = count(n) / 1000.0;
        for (way, time, one) in [("forward", took.forward, thousand.forward), ("back", took.back, thousand.back)] {
            let ratio = time.as_secs_f64() / one.as_secs_f64();
            line(
                &format!("chain of {n}, {way}"),
                &format!("{:.2} s", time.as_secs_f64()),
                &format!("{ratio:.1} x the time of 1,000"),
                &format!("about {times:.0} x"),
            );
        }
    }
    let n = 10_000 / scale as usize;
    let took = engine::run(&fresh()?, engine::plan(Shape::Wide, n), true)?;
    for (way, time, goal) in [("forward", took.forward, "at least 20,000 steps/s"), ("back", took.back, "")] {
        let rate = count(n) / time.as_secs_f64();
        line(&format!("{n} independent, {way}"), &format!("{rate:.0} steps/s"), "", goal);
    }
    for (n, goal) in [(1000, "under 32 MB"), (100_000 / scale as usize, "under 200 MB (100,000)")] {
        let done = Command::new(std::env::current_exe()?).args(["--memory-of", &n.to_string()]).output()?;
        let kb: f64 = String::from_utf8_lossy(&done.stdout).trim().parse()?;
        line(&format!("memory, {n} steps"), &format!("{:.1} MB", kb / 1024.0), "", goal);
    }
    terraform(root, scale as usize)?;
    programs(root, scale as usize)
}

/// A chain beside raw commits: the medians of several rounds. A disk's speed changes within
/// seconds, so each round is compared with the raw commits right before and right after it.
#[derive(Clone, Copy)]
struct Beside {
    time: Duration,
    /// Steps a raw commit.
    ratio: f64,
}

struct Chains {
    forward: Beside,
    back: Beside,
}

fn beside_raw(
    shape: Shape,
    n: usize,
    rounds: usize,
    fresh: &mut impl FnMut() -> Result<std::path::PathBuf, Failure>,
) -> Result<Chains, Failure> {
    let (mut forward, mut back) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = engine::raw_commits(&fresh()?, 500)?;
        let took = engine::run(&fresh()?, engine::plan(shape, n), true)?;
        let after = engine::raw_commits(&fresh()?, 500)?;
        let raw = (before + after) / 2.0;
        let beside = |time: Duration| Beside { time, ratio: count(n) / time.as_secs_f64() / raw };
        forward.push(beside(took.forward));
        back.push(beside(took.back));
    }
    let median = |mut all: Vec<Beside>| {
        all.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        all[all.len() / 2]
    };
    Ok(Chains { forward: median(forward), back: median(back) })
}

fn terraform(root: &Path, scale: usize) -> Result<(), Failure> {
    if !peers::has_terraform() {
        println!("terraform is not on the PATH: not compared");
        return Ok(());
    }
    for (n, chain, goal) in [(1000 / scale, false, "at least 50 x"), (400 / scale, true, "at least 80 x")] {
        let name = if chain { format!("chain of {n}") } else { format!("{n} independent") };
        let folder = root.join(format!("terraform{n}{chain}"));
        let peer = peers::terraform(&folder, n, chain)?;
        let ours = root.join(format!("beside-terraform{n}{chain}"));
        std::fs::create_dir_all(&ours)?;
        let shape = if chain { Shape::Chain } else { Shape::Wide };
        let took = engine::run(&ours, engine::plan(shape, n), false)?;
        let ratio = peer.as_secs_f64() / took.forward.as_secs_f64();
        line(
            &format!("{name}, beside Terraform"),
            &ms(took.forward),
            &format!("init + apply: {:.1} s, {ratio:.0} x", peer.as_secs_f64()),
            goal,
        );
    }
    Ok(())
}

fn programs(root: &Path, scale: usize) -> Result<(), Failure> {
    let start = commands::median(21, &["--version"])?;
    line("switchback --version", &ms(start), "", "under 10 ms");
    let large = root.join("large");
    std::fs::create_dir_all(&large)?;
    let records = commands::large_journal(&large, 1_000_000 / scale)?;
    let state = large.to_string_lossy().into_owned();
    for command in ["status", "log"] {
        let time = commands::median(11, &["--state", &state, command])?;
        line(&format!("{command}, {records} records"), &ms(time), "", "under 50 ms (1,000,000)");
    }
    let folder = root.join("resume");
    std::fs::create_dir_all(&folder)?;
    let mut times = Vec::new();
    for i in 0..5 {
        let folder = folder.join(i.to_string());
        std::fs::create_dir_all(&folder)?;
        times.push(commands::resume_latency(&folder, 1000)?);
    }
    times.sort();
    line("resume of 1,000 steps, to its first new step", &ms(times[2]), "", "under 20 ms");
    Ok(())
}

fn rehearsals(runbook: &Path, quick: bool) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("switchback-bench").tempdir_in(".")?;
    line("what", "measured", "beside it, in this run", "goal");
    rehearsal::all(folder.path(), runbook, quick)
}

/// Runs a wide plan and prints the peak of this process's memory.
fn memory(n: usize) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("switchback-bench").tempdir_in(".")?;
    engine::run(folder.path(), engine::plan(Shape::Wide, n), false)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    println!("{}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}
