//! The arguments. What they mean is in [`crate::commands`], one file a command.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use switchback_model::exit_code;

/// Reversible migration runbooks: forward step by step, and back from wherever it stopped
#[derive(Debug, Parser)]
#[command(name = "switchback", version, propagate_version = false, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Folder of the journal and the sandbox
    #[arg(long, global = true, value_name = "DIR", default_value = "state", env = "SWITCHBACK_STATE")]
    pub(crate) state: PathBuf,
    /// Print one JSON event a line on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Say less: failures and the end only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more: -v every change of a step's state, -vv every call
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR or CI is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a runbook: parse, resolve, type-check. Uses no network
    Validate(Validate),
    /// Show what a runbook would do and how each step is undone. Changes nothing
    Plan(Plan),
    /// Run a runbook or a stored plan
    Apply(Apply),
    /// Try every crash and every fault of a plan in the sandbox, forward and back. Touches nothing else
    Rehearse(Rehearse),
    /// Go on forward from wherever a run stopped
    Resume(Resume),
    /// Go back to a checkpoint, to a step, or to the start
    Unwind(Unwind),
    /// Look whether every step is still as it was left. Changes nothing
    Verify(Verify),
    /// Show where a run stands, what is stuck and which commands apply
    Status(RunArg),
    /// List all runs
    Runs,
    /// Show the records of a run
    Log(Log),
    /// Say that what an in-doubt step made is ours
    Adopt(Rescue),
    /// Agree to what a step asks, as one of those who may
    Approve(Rescue),
    /// Say that what is there is not ours, or is accepted as it is
    Disown(Rescue),
    /// Say that a step is done: made, or undone by hand
    MarkDone(MarkDone),
    /// Leave a step out, or leave behind what it made when its rollback failed
    Skip(Rescue),
    /// End another executor of a run, so that this host can go on with it
    Takeover(Takeover),
    /// The local stand-in for AWS
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// Show the operations: what they take and give, call, need and leave behind
    Ops(Ops),
    /// Print the JSON Schema of runbooks
    Schema,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The runbook
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

/// `--input`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Inputs {
    /// Value of an input of the runbook; never a secret
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) inputs: Vec<(String, String)>,
}

/// `--secret-file`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SecretFiles {
    /// File that holds a secret input; one newline at its end is dropped
    #[arg(long = "secret-file", value_name = "NAME=PATH", value_parser = name_and_value)]
    pub(crate) files: Vec<(String, String)>,
}

/// `--rehearsal`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Rehearsal {
    /// Certificate of the rehearsal, where it is not in the state folder
    #[arg(long, value_name = "PATH")]
    pub(crate) rehearsal: Option<PathBuf>,
}

/// Where to act.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// Act on the sandbox; starts it when none is up
    #[arg(long, conflicts_with = "endpoint_url")]
    pub(crate) sandbox: bool,
    /// Act on this endpoint instead of AWS's own
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The runbook, or a stored plan
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Store the plan here, for `apply`
    #[arg(short, long, value_name = "PLAN")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) secrets: SecretFiles,
    #[command(flatten)]
    pub(crate) rehearsal: Rehearsal,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Do not look at the target
    #[arg(long)]
    pub(crate) offline: bool,
}

/// How a run is executed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Execute {
    /// Ask before each step
    #[arg(long)]
    pub(crate) step: bool,
    /// Stop when this step is done
    #[arg(long, value_name = "STEP")]
    pub(crate) to: Option<String>,
    /// How many steps may run at the same time, instead of the runbook's number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) max_parallel: Option<u32>,
    /// Pass this point of no return
    #[arg(long, value_name = "STEP")]
    pub(crate) accept_pivot: Vec<String>,
    /// This protected step may be undone
    #[arg(long, value_name = "STEP")]
    pub(crate) confirm: Vec<String>,
    /// Do not ask before the first step; never covers a point of no return
    #[arg(long)]
    pub(crate) auto_approve: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The runbook, or a plan that `plan -o` stored
    #[arg(value_name = "FILE|PLAN")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) secrets: SecretFiles,
    #[command(flatten)]
    pub(crate) rehearsal: Rehearsal,
    /// Begin only when this very plan was rehearsed in full by this release, and nothing was found
    #[arg(long)]
    pub(crate) require_rehearsal: bool,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) execute: Execute,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The runbook, or a plan that `plan -o` stored
    #[arg(value_name = "FILE|PLAN")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    /// How many cases may run at the same time; by default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) jobs: Option<u32>,
    /// A quick run: one of N cases. Its certificate proves nothing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sample: Option<u64>,
    /// What chooses the cases of a sample, and the pauses of the engine
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Run this case alone, and show all of it
    #[arg(long, value_name = "ID", conflicts_with_all = ["sample", "certificate"])]
    pub(crate) case: Option<String>,
    /// Store the certificate here as well
    #[arg(long, value_name = "PATH")]
    pub(crate) certificate: Option<PathBuf>,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) run: RunArg,
    #[command(flatten)]
    pub(crate) secrets: SecretFiles,
    #[command(flatten)]
    pub(crate) execute: Execute,
}

/// Arguments of `unwind`.
#[derive(Debug, Args)]
pub(crate) struct Unwind {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// Go back to the end of this phase, or to this step; it stays
    #[arg(long, value_name = "CHECKPOINT|STEP", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) to: Option<String>,
    /// Go back to the start
    #[arg(long)]
    pub(crate) all: bool,
    /// Why; goes into the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
    /// This protected step may be undone
    #[arg(long, value_name = "STEP")]
    pub(crate) confirm: Vec<String>,
    /// How many steps may be undone at the same time, instead of the runbook's number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) max_parallel: Option<u32>,
    /// Do not ask before the first step
    #[arg(long)]
    pub(crate) auto_approve: bool,
    #[command(flatten)]
    pub(crate) secrets: SecretFiles,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) run: RunArg,
    #[command(flatten)]
    pub(crate) secrets: SecretFiles,
}

/// Which run.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArg {
    /// The run: its id, or enough of the beginning or the end of it. May be left out when only one fits
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// How many of the newest records
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
    /// Every record, each checked against the hash chain
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Wait for more, until the run has come to its end
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Calls to services too
    #[arg(long)]
    pub(crate) calls: bool,
}

/// Arguments of the rescue verbs.
#[derive(Debug, Args)]
pub(crate) struct Rescue {
    /// The step
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// The run, when more than one fits
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Why; goes into the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
}

/// Arguments of `mark-done`.
#[derive(Debug, Args)]
pub(crate) struct MarkDone {
    #[command(flatten)]
    pub(crate) rescue: Rescue,
    /// The step's output, where none is on record
    #[arg(long, value_name = "JSON")]
    pub(crate) output: Option<String>,
}

/// Arguments of `takeover`.
#[derive(Debug, Args)]
pub(crate) struct Takeover {
    #[command(flatten)]
    pub(crate) run: RunArg,
    /// Why; goes into the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    /// The executor ran on another host, and I have seen that it is dead
    #[arg(long)]
    pub(crate) attest_dead: bool,
    /// How many seconds the executor is given to come to rest before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) grace: u64,
}

/// Arguments of `ops`.
#[derive(Debug, Args)]
pub(crate) struct Ops {
    /// An operation, `aws.ec2.vpc`; or how their names begin, `aws.ec2`, for a line each
    #[arg(value_name = "KIND", conflicts_with = "policy")]
    pub(crate) kind: Option<String>,
    /// Print the IAM policy that this runbook or stored plan needs, forward and back
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The target that the policy is for, where the runbook has several
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

/// `sandbox ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    /// Start it, unless it is up
    Up {
        /// Port on 127.0.0.1; 0 takes any that is free
        #[arg(long, value_name = "N", default_value_t = 0)]
        port: u16,
        /// AWS only: no PostgreSQL, NATS, registry and local system
        #[arg(long)]
        bare: bool,
    },
    /// End it; what was in it is gone
    Down,
    /// Say whether it is up, and where
    Status,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a reason has words".to_owned()) } else { Ok(text.to_owned()) }
}

/// The command with everything that `--help` shows.
pub(crate) fn command() -> clap::Command {
    let codes: Vec<_> = exit_code::ALL.iter().map(|(code, what)| format!("  {code}  {what}")).collect();
    Cli::command().after_help(format!("Exit codes:\n{}", codes.join("\n")))
}

/// The arguments of this process.
///
/// # Errors
/// clap's, which is also how it asks for help and the version to be printed.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent_and_everything_has_a_help_text() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments().filter(|a| a.get_id() != "help" && a.get_id() != "version") {
                assert!(arg.get_help().is_some(), "{} {} has no help", command.get_name(), arg.get_id());
            }
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
                check(sub);
            }
        }
        let mut command = command();
        command.build();
        command.clone().debug_assert();
        check(&command);
    }
}
