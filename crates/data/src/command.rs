//! Commands on the operator's machine: a program and its arguments, no shell.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchback_engine::Cx;
use switchback_engine::operation::BoxFuture;
use switchback_engine::remote::{Ask, Remote};
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// How much a command may print: it is held in memory.
const MOST_BYTES: u64 = 256 << 20;
/// How much of what it says of an error is shown.
const SHOWN: usize = 300;

/// A call of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandAsk {
    /// Runs it to its end.
    RunCommand {
        /// The program and its arguments.
        argv: Vec<String>,
        /// How long it may take, in milliseconds.
        timeout_ms: u64,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandAnswer {
    /// It ended well.
    Printed {
        /// What it wrote to its standard output.
        stdout: String,
    },
}

impl Ask for CommandAsk {
    const SERVICE: &'static str = "command";
    type Answer = CommandAnswer;

    fn action(&self) -> &'static str {
        "RunCommand"
    }

    /// What a command does is not known.
    fn writes(&self) -> bool {
        true
    }
}

/// The commands of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Commands;

impl Remote<CommandAsk> for Commands {
    fn ask<'a>(&'a self, _cx: &'a Cx, ask: CommandAsk) -> BoxFuture<'a, OpResult<CommandAnswer>> {
        let CommandAsk::RunCommand { argv, timeout_ms } = ask;
        Box::pin(async move { run(&argv, Duration::from_millis(timeout_ms)).await })
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Class `Permanent` when it cannot be started, takes too long, prints too much or no UTF-8, or ends with another status
/// than 0.
pub async fn run(argv: &[String], most: Duration) -> OpResult<CommandAnswer> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(OpError::permanent("a command has a program"));
    };
    let failed = |why: String| OpError::new(ErrorClass::Permanent, format!("`{program}`: {why}")).with_code("Command");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(format!("cannot be started: {e}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let print = async {
        let mut text = Vec::new();
        match stdout {
            Some(stdout) => stdout.take(MOST_BYTES + 1).read_to_end(&mut text).await.map(|_| text),
            None => Ok(text),
        }
    };
    let complain = async {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        let Some(mut stderr) = stderr else { return text };
        while let Ok(n @ 1..) = stderr.read(&mut part).await {
            text.extend_from_slice(part.get(..n).unwrap_or_default());
            // The last words say why.
            let beyond = text.len().saturating_sub(SHOWN);
            text.drain(..beyond);
        }
        text
    };
    let ended = timeout(most, async {
        let (printed, complaint) = tokio::join!(print, complain);
        let printed = printed?;
        // What prints too much is not waited for: it would wait for us.
        let status = if printed.len() as u64 > MOST_BYTES { None } else { Some(child.wait().await?) };
        Ok::<_, std::io::Error>((printed, complaint, status))
    });
    let (printed, complaint, status) = match ended.await {
        Ok(ended) => ended.map_err(|e| failed(e.to_string()))?,
        Err(_) => return Err(failed(format!("took longer than {} s", most.as_secs())).with_hint("give it more time")),
    };
    let Some(status) = status else { return Err(failed(format!("prints more than {MOST_BYTES} bytes"))) };
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let said = complaint.lines().last().map_or(String::new(), |line| format!(": {line}"));
        return Err(failed(format!("ended with {status}{said}")));
    }
    let stdout = String::from_utf8(printed).map_err(|_| failed("what it prints is not UTF-8".to_owned()))?;
    Ok(CommandAnswer::Printed { stdout })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, most: Duration) -> OpResult<CommandAnswer> {
        run(&["sh".to_owned(), "-c".to_owned(), script.to_owned()], most).await
    }

    #[tokio::test]
    async fn what_it_prints_is_the_answer_and_a_bad_end_is_an_error() {
        let minute = Duration::from_secs(60);
        assert_eq!(sh("echo '{}'", minute).await, Ok(CommandAnswer::Printed { stdout: "{}\n".to_owned() }));
        let error = sh("echo '{}'; echo first >&2; echo no state >&2; exit 3", minute).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.message.contains("exit status: 3: no state"), "{error}");
        let error = sh("sleep 60", Duration::from_millis(50)).await.unwrap_err();
        assert!(error.message.contains("took longer"), "{error}");
        let error = run(&["/nonexistent/export".to_owned()], minute).await.unwrap_err();
        assert!(error.message.contains("cannot be started"), "{error}");
        assert!(run(&[], minute).await.is_err());
    }
}
