//! A moto of a test's own, and the migration of MisterSmith as moto 5.2 can take it: without the steps whose calls it
//! does not know. That works on the text, so that everything else is the runbook itself, line by line.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ports::{free_port, wait_for};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running moto, which ends when it is dropped.
#[derive(Debug)]
pub struct MotoServer {
    child: Child,
    /// Where it is: `http://127.0.0.1:5000`.
    pub endpoint: String,
    /// The folder of its program, and of the AWS CLI and Python that were installed with it.
    pub bin: PathBuf,
}

impl MotoServer {
    /// Starts this program, on a free port of loopback, for that account.
    ///
    /// # Errors
    /// When it cannot be started, or does not listen within a minute.
    pub fn start(program: &Path, account: &str) -> io::Result<Self> {
        let port = free_port()?;
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .envs([("MOTO_ACCOUNT_ID", account), ("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let bin = program.parent().unwrap_or(Path::new("")).to_owned();
        let server = Self { child, endpoint: format!("http://127.0.0.1:{port}"), bin };
        wait_for(port, PATIENCE)?;
        Ok(server)
    }

    /// Nothing is left of what was done.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn reset(&self) -> io::Result<()> {
        self.send("POST", "/moto-api/reset", "")
    }

    /// Puts the code of the function where [`without_unknown`] has it.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn put_code(&self) -> io::Result<()> {
        let (bucket, key) = CODE;
        self.send("PUT", &format!("/{bucket}"), "")?;
        self.send("PUT", &format!("/{bucket}/{key}"), "code")
    }

    fn send(&self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let is_done = reply.split_whitespace().nth(1) == Some("200");
        if is_done { Ok(()) } else { Err(io::Error::other(format!("{method} {path}: {reply}"))) }
    }
}

impl Drop for MotoServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The steps that moto cannot take, with what it lacks.
pub const UNKNOWN: [(&str, &str); 14] = [
    ("vault", "ListTags of AWS Backup wants a slash at the end of its path, and else shows no tags"),
    ("backup_plan", "as the vault, which it names"),
    ("backup", "StartBackupJob is answered with 404"),
    ("artifacts", "CreateBucket does not take tags"),
    ("handler_archive", "as the bucket, in which it is"),
    ("handler_from_alerts", "RemovePermission never matches a RevisionId"),
    ("high_error_rate", "CloudWatch in CBOR is answered with 404"),
    ("start_orchestrator", "a service with tasks never becomes steady"),
    ("start_agents", "a service with tasks never becomes steady"),
    ("healthy", "no targets are registered, and a load balancer answers nothing"),
    ("cluster_endpoints", "DescribeDBClusterEndpoints is answered with 500"),
    ("orchestrator_running", "no tasks are started"),
    ("agents_running", "no tasks are started"),
    ("bake", "CloudWatch in CBOR is answered with 404"),
];

/// The bucket and the key where [`without_unknown`] has the code of the function.
const CODE: (&str, &str) = ("mistersmith-code", "rollback-handler.zip");

/// What else is taken out: `DescribeServices` does not show it.
const GRACE_PERIOD: &str = "          health_check_grace_period_seconds: 60\n";

/// The runbook without these steps, and without what moto does not show. Steps that needed one of them do so no more.
#[must_use]
pub fn without(runbook: &str, steps: &[&str]) -> String {
    let mut text = String::with_capacity(runbook.len());
    // The head of a phase waits for its first step: a phase of none is no phase.
    let (mut head, mut skips): (Option<String>, bool) = (None, false);
    for line in runbook.split_inclusive('\n') {
        if let Some(id) = line.strip_prefix("      - id: ") {
            skips = steps.contains(&id.trim_end());
            if !skips {
                text.push_str(&head.take().unwrap_or_default());
            }
        } else if line.starts_with("  - name: ") {
            (head, skips) = (Some(String::new()), false);
        }
        if skips {
            continue;
        }
        if let Some(head) = &mut head {
            head.push_str(line);
            continue;
        }
        match line.split_once("needs: [") {
            Some((before, rest)) => {
                let needed = rest.trim_end().trim_end_matches(']').split(", ");
                let needed: Vec<&str> = needed.filter(|id| !steps.contains(id)).collect();
                text.push_str(&format!("{before}needs: [{}]\n", needed.join(", ")));
            }
            None => text.push_str(line),
        }
    }
    text.replace(GRACE_PERIOD, "")
}

/// The runbook without what moto does not know. The code of its function is where somebody else has put it.
#[must_use]
pub fn without_unknown(runbook: &str) -> String {
    without(runbook, &UNKNOWN.map(|(step, _)| step))
        .replace("${handler_archive.bucket}", CODE.0)
        .replace("${handler_archive.key}", CODE.1)
}

/// The runbook with another server in the place of its Aurora, by host and port: nothing answers behind moto's clusters.
#[must_use]
pub fn with_database(runbook: &str, host: &str, port: &str) -> String {
    runbook.replace("host: \"${aurora.endpoint}\", port: \"${aurora.port}\"", &format!("host: {host}, port: {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_and_nobody_needs_it() {
        let text = "phases:\n  - name: a\n    steps:\n      - id: one\n        op: x\n      - id: two\n        needs: [one, b]\n  \
                    - name: c\n    steps:\n      - id: one\n        op: x\n  \
                    - name: b\n    steps:\n      - id: three\n        needs: [one]\n";
        let wanted = "phases:\n  - name: a\n    steps:\n      - id: two\n        needs: [b]\n  - name: b\n    steps:\n      \
                      - id: three\n        needs: []\n";
        assert_eq!(without(text, &["one"]), wanted);
    }
}
