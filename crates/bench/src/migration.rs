//! A whole migration on moto, forward and back, beside the same calls made by one boto3 process and by the AWS CLI, a
//! process a call.
//!
//! `peers/peers.py` stands before moto while the migration is recorded, and makes the calls again. What moto does not
//! know, and what is not AWS, is left out for all alike: see [`UNKNOWN`](switchback_testing::moto::UNKNOWN).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use switchback_testing::moto::{MotoServer, without, without_unknown};
use switchback_testing::ports::{free_port, wait_for};
use tokio::time::Instant;

use crate::commands;
use crate::engine::Failure;

/// What needs a server beside AWS: a registry, a database, a stream. Only calls of AWS are compared.
const NEEDS_SERVERS: [&str; 9] = [
    "image",
    "database",
    "schema",
    "export",
    "state",
    "messages",
    "orchestrator_connected",
    "agents_table",
    "message_flow",
];

/// What ends when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Moto(MotoServer);

impl Moto {
    fn start() -> Result<Self, Failure> {
        let server = std::env::var_os("SWITCHBACK_MOTO_SERVER").map(PathBuf::from);
        let server = server.ok_or("SWITCHBACK_MOTO_SERVER is not set: use `cargo xtask bench peers`")?;
        Ok(Self(MotoServer::start(&server, "123456789012")?))
    }

    /// Nothing is left of what was done, and the code of the function is there.
    fn reset(&self) -> Result<(), Failure> {
        self.0.reset()?;
        Ok(self.0.put_code()?)
    }

    fn peers(&self) -> Command {
        let mut command = Command::new(self.0.bin.join("python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/peers.py"));
        command
    }

    /// The recorded calls again.
    fn replay(&self, trace: &Path, how: &[&OsStr]) -> Result<Took, Failure> {
        self.reset()?;
        let done = self.peers().arg("replay").arg(trace).arg(&self.0.endpoint).args(how).output()?;
        let said = said(&done)?;
        let failed = said["failed"].as_u64().unwrap_or_default();
        if failed > 0 {
            // Some answers of moto differ from run to run; it is said, and not hidden.
            crate::line("", "", &format!("{failed} of the calls failed when they were made again"), "");
        }
        let calls = usize::try_from(said["calls"].as_u64().unwrap_or_default()).unwrap_or_default();
        let second = |name: &str| said[name].as_f64().unwrap_or_default();
        Ok(Took { calls, seconds: second("seconds"), cpu: second("cpu") })
    }
}

/// What calls took.
struct Took {
    calls: usize,
    seconds: f64,
    /// Seconds of CPU of the client alone.
    cpu: f64,
}

/// The line of JSON that `peers.py` prints.
fn said(done: &Output) -> Result<serde_json::Value, Failure> {
    serde_json::from_slice(&done.stdout)
        .map_err(|_| format!("peers.py: {}", String::from_utf8_lossy(&done.stderr)).into())
}

/// The runbook with calls of AWS alone, and of those that moto knows.
fn for_moto(runbook: &Path) -> Result<String, Failure> {
    let text = without(&without_unknown(&std::fs::read_to_string(runbook)?), &NEEDS_SERVERS);
    // There are no images.
    let task = |name: &str, ports: &str| format!("[{{ name: {name}, image: \"{name}:1\"{ports} }}]");
    let ports = ", portMappings: [{ containerPort: 4222 }, { containerPort: 8080 }]";
    let text = text.replace("{ file: tasks/orchestrator.json }", &task("orchestrator", ports));
    Ok(text.replace("{ file: tasks/agent.json }", &task("agent", "")))
}

/// Forward and back, and how long that took: seconds, and seconds of CPU.
fn migrate(moto: &Moto, state: &Path, runbook: &Path, endpoint: &str) -> Result<(f64, f64), Failure> {
    let (begun, mut cpu) = (Instant::now(), 0.0);
    let apply = ["apply", &runbook.to_string_lossy(), "--endpoint-url", endpoint, "--input", "account=123456789012"]
        .map(str::to_owned)
        .to_vec();
    for args in [apply, ["unwind", "--all"].map(str::to_owned).to_vec()] {
        let done = moto
            .peers()
            .arg("timed")
            .arg(commands::switchback()?)
            .envs([("SWITCHBACK_INPUT_DB_PASSWORD", "only-for-the-bench"), ("CI", "true")])
            .envs([("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")])
            .arg("--state")
            .arg(state)
            .args(&args)
            .arg("--auto-approve")
            .stdin(Stdio::null())
            .output()?;
        let said = said(&done)?;
        if said["code"] != 0 {
            return Err(format!("switchback {args:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        cpu += said["cpu"].as_f64().unwrap_or_default();
    }
    Ok((begun.elapsed().as_secs_f64(), cpu))
}

/// All of it.
pub(crate) fn beside_peers(folder: &Path, runbook: &Path) -> Result<(), Failure> {
    let beside = runbook.parent().unwrap_or(Path::new("."));
    // In the same folder: it includes files beside it.
    let reduced = tempfile::Builder::new().prefix("on-moto").suffix(".yaml").tempfile_in(beside)?;
    std::fs::write(reduced.path(), for_moto(runbook)?)?;
    let (moto, trace) = (Moto::start()?, folder.join("trace.json"));
    moto.reset()?;
    {
        let port = free_port()?;
        let recorder = moto.peers().arg("record").arg(port.to_string()).arg(&moto.0.endpoint).arg(&trace).spawn()?;
        let recorder = Process(recorder);
        wait_for(port, Duration::from_secs(60))?;
        migrate(&moto, &folder.join("recorded"), reduced.path(), &format!("http://127.0.0.1:{port}"))?;
        let ended = Command::new("kill").args(["-TERM", &recorder.0.id().to_string()]).status()?;
        let mut recorder = recorder;
        if !ended.success() || !recorder.0.wait()?.success() {
            return Err("the recorder did not write what it recorded".into());
        }
    }
    moto.reset()?;
    let (ours, cpu) = migrate(&moto, &folder.join("timed"), reduced.path(), &moto.0.endpoint)?;
    let boto = moto.replay(&trace, &[OsStr::new("boto3")])?;
    let aws = moto.0.bin.join("aws");
    let cli = moto.replay(&trace, &[OsStr::new("cli"), aws.as_os_str()])?;
    let calls = crate::count(boto.calls);
    crate::line("MisterSmith on moto, forward and back", &format!("{ours:.1} s"), &format!("{calls} calls"), "");
    let times = format!("{:.1} x as long", cli.seconds / ours);
    crate::line("  the same calls by the AWS CLI", &format!("{:.1} s", cli.seconds), &times, "at least 20 x");
    let times = format!("{:.1} x as long", boto.seconds / ours);
    crate::line("  the same calls by one boto3 process", &format!("{:.1} s", boto.seconds), &times, "");
    crate::line(
        "  client time a call (CPU)",
        &format!("{:.2} ms", cpu * 1e3 / calls),
        &format!("boto3 {:.2} ms", boto.cpu * 1e3 / calls),
        "no more than boto3",
    );
    Ok(())
}
