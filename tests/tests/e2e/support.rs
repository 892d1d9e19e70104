//! An operator at a terminal: the built binaries, in folders of their own, with a clean
//! environment.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// The account that the sandbox plays.
pub const ACCOUNT: &str = "123456789012";

/// The password that the runbook asks for. No file and no other process may ever hold it.
pub const PASSWORD: &str = "Kanarienvogel-7f3a9c";

/// A built binary of the workspace.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this test has a path");
    let path = here.parent().and_then(Path::parent).expect("a target folder").join(name);
    assert!(path.exists(), "{} is not built: `cargo build --workspace --bins`", path.display());
    path
}

/// The workspace.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The runbook that is migrated: all of it.
pub fn whole_mistersmith() -> PathBuf {
    workspace().join("runbooks/mistersmith/runbook.yaml")
}

/// Its first phase, the infrastructure, for what is tested many times over: AWS alone, and no server.
pub fn mistersmith() -> PathBuf {
    let text = std::fs::read_to_string(whole_mistersmith()).expect("the runbook");
    let (first, _) = text.split_once("\n  - name: application\n").expect("a second phase");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).expect("a folder");
    // Tests run at the same time: whole or not at all, and always the same.
    let (path, new) =
        (folder.join("mistersmith.yaml"), folder.join(format!("mistersmith-{}.yaml", std::process::id())));
    std::fs::write(&new, format!("{first}\n")).expect("a runbook");
    std::fs::rename(&new, &path).expect("a runbook");
    path
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit code is this one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// All that was said.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    /// It is said, as data or as an error.
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.all().contains(what), "{what:?} is not said:\n{}", self.all());
        self
    }

    /// Standard output has this in it.
    #[track_caller]
    pub fn prints(self, what: &str) -> Self {
        assert!(self.out.contains(what), "stdout does not say {what:?}:\n{}", self.out);
        self
    }
}

/// An operator with a state folder and a sandbox in it.
pub struct Operator {
    pub state: TempDir,
    cloud: Option<Child>,
}

impl Operator {
    /// Without a sandbox.
    pub fn alone() -> Self {
        Self { state: TempDir::new().expect("a folder"), cloud: None }
    }

    /// With a sandbox that runs.
    pub fn with_sandbox() -> Self {
        Self::with_sandbox_that(&[])
    }

    /// With a sandbox in which databases and gateways take that long to be made and to be deleted.
    pub fn with_slow_sandbox(ms: u64) -> Self {
        Self::with_sandbox_that(&["--slow-ms", &ms.to_string()])
    }

    fn with_sandbox_that(is: &[&str]) -> Self {
        let mut operator = Self::alone();
        let child = Command::new(binary("switchback-sandbox"))
            .args(["serve", "--settle-ms", "10", "--quiet-ms", "150"])
            .args(is)
            .arg("--state")
            .arg(operator.state.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sandbox starts");
        operator.cloud = Some(child);
        let start = Instant::now();
        while !operator.state.path().join("sandbox.json").exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "the sandbox does not come up");
            pause(5);
        }
        operator
    }

    /// A `switchback` command in this operator's state folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("switchback"));
        command
            .env_clear()
            .env("HOME", self.state.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("SWITCHBACK_INPUT_DB_PASSWORD", PASSWORD)
            .current_dir(workspace())
            .stdin(Stdio::null())
            .arg("--state")
            .arg(self.state.path())
            .args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        Said::new(self.command(args).output().expect("switchback starts"))
    }

    /// Applies a runbook in the sandbox.
    pub fn apply(&self, runbook: &Path) -> Said {
        self.run(&["apply", &runbook.to_string_lossy(), "--sandbox", "--auto-approve"])
    }

    /// What `sandbox.json` says.
    pub fn sandbox(&self) -> Value {
        let text = std::fs::read_to_string(self.state.path().join("sandbox.json")).expect("a sandbox");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The sandbox's endpoint.
    pub fn endpoint(&self) -> String {
        self.sandbox()["endpoint"].as_str().expect("an endpoint").to_owned()
    }

    /// A request to the sandbox's own routes.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> String {
        http(&self.endpoint(), method, &format!("/_switchback/{path}"), body)
    }

    /// Everything that exists in the sandbox.
    pub fn world(&self) -> Value {
        serde_json::from_str(&self.admin("GET", "world", "")).expect("JSON")
    }

    /// Everything that exists, without ids.
    pub fn nameless(&self) -> Value {
        crate::world::nameless(&self.world())
    }

    /// Plans these faults, in place of others.
    pub fn faults(&self, plan: &Value) {
        self.admin("POST", "faults", &plan.to_string());
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.state.path().join("journal.db")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(mut child) = self.cloud.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs async code of a test that starts processes.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// A plain HTTP/1.0 request on loopback.
pub fn http(endpoint: &str, method: &str, path: &str, body: &str) -> String {
    let address = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    let (head, body) = reply.split_once("\r\n\r\n").expect("an HTTP reply");
    assert!(head.contains(" 200 ") || head.contains(" 204 "), "{method} {path}: {reply}");
    body.to_owned()
}

/// Lets another process work for a moment.
#[expect(clippy::disallowed_methods, reason = "other processes do not run on this process's paused clock")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Writes a runbook and returns its path.
pub fn runbook(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("runbook.yaml");
    std::fs::write(&path, text).expect("the runbook is written");
    path
}
