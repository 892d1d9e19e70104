//! `cargo xtask demo | test | ci | bench`: the tasks of this workspace.
//!
//! Depends on no crate of the product, so that it starts within seconds on a machine that has
//! compiled nothing yet; it calls cargo and the built binaries.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod demo;
mod shell;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::shell::{Failed, cargo, run};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the Switchback workspace")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The main job: starts the sandbox, applies the `MisterSmith` runbook, shows what is there, verifies, unwinds, and
    /// shows that nothing is left
    Demo,
    /// Passes the tests. Installs what they need
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Formatting, lints and tests, as CI runs them
    Ci,
    /// The benchmarks (release), each beside its peer and its limit
    Bench {
        /// A tenth of the work, to see that it runs
        #[arg(long)]
        quick: bool,
        /// Only these; all when it is not said
        only: Option<Bench>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// How long rehearsals take, and how that grows with the number of steps
    Rehearsal,
    /// The migration on moto, beside the same calls by the AWS CLI and by boto3
    Peers,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Demo => demo::demo(),
        Task::Test { filter } => test(filter.as_deref()),
        Task::Ci => ci(),
        Task::Bench { quick, only } => bench(quick, only),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn test(filter: Option<&str>) -> Result<(), Failed> {
    tools::c_compiler()?;
    let python = tools::python_tools()?;
    tools::servers()?;
    tools::build()?;
    let mut tests = if tools::has_nextest() {
        let mut tests = cargo();
        tests.args(["nextest", "run", "--workspace"]);
        tests
    } else {
        println!("cargo-nextest is not installed: `cargo test` runs the same tests, one package after another");
        let mut tests = cargo();
        tests.args(["test", "--workspace", "--tests", "--bins", "--lib"]);
        tests
    };
    run(tests.args(filter).envs(python.environment()))?;
    if filter.is_none() {
        run(cargo().args(["test", "--workspace", "--doc"]))?;
    }
    Ok(())
}

fn ci() -> Result<(), Failed> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    test(None)
}

fn bench(quick: bool, only: Option<Bench>) -> Result<(), Failed> {
    tools::c_compiler()?;
    let packages = ["switchback-cli", "switchback-sandbox", "switchback-bench"];
    run(cargo().args(["build", "--release", "--bins"]).args(packages.iter().flat_map(|p| ["--package", *p])))?;
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--package", "switchback-bench", "--"]);
    if quick {
        bench.arg("--quick");
    }
    match only {
        Some(Bench::Rehearsal) => bench.args(["--rehearsal", "runbooks/mistersmith/runbook.yaml"]),
        Some(Bench::Peers) => {
            bench.args(["--peers", "runbooks/mistersmith/runbook.yaml"]).envs(tools::python_tools()?.environment())
        }
        None => &mut bench,
    };
    run(&mut bench)
}
