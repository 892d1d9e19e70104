//! Ways through an instance: a port here that Systems Manager forwards to the server.
//!
//! The AWS CLI does it (`aws ssm start-session`, with its session plugin). It is started when the first call wants the way,
//! serves all calls to the same server, and ends with this process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use switchback_engine::Cx;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::postgres::connection::Connection;

/// How long the CLI may take until the way is open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// What it says then.
const OPEN: &str = "Waiting for connections";
const DOCUMENT: &str = "AWS-StartPortForwardingSessionToRemoteHost";

impl Drop for Tunnel {
    /// The CLI has a plugin that it started: both end.
    fn drop(&mut self) {
        let group = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
    }
}

/// The ways that are open, by instance, server and port.
#[derive(Default)]
pub(super) struct Tunnels {
    aws: PathBuf,
    open: Mutex<HashMap<(String, String, u16), Tunnel>>,
}

struct Tunnel {
    /// Ends when this is dropped.
    child: Child,
    port: u16,
}

impl Tunnels {
    pub(super) fn by(aws: PathBuf) -> Self {
        Self { aws, open: Mutex::default() }
    }

    /// The port on this machine that leads to the server.
    pub(super) async fn port(&self, cx: &Cx, instance: &str, on: &Connection) -> OpResult<u16> {
        let key = (instance.to_owned(), on.host.clone(), on.port);
        let mut open = self.open.lock().await;
        if let Some(tunnel) = open.get_mut(&key) {
            if matches!(tunnel.child.try_wait(), Ok(None)) {
                return Ok(tunnel.port);
            }
            open.remove(&key);
        }
        cx.progress(&format!("opening a way to {} through {instance}", on.host));
        let tunnel = self.start(instance, on).await?;
        let port = tunnel.port;
        open.insert(key, tunnel);
        Ok(port)
    }

    async fn start(&self, instance: &str, on: &Connection) -> OpResult<Tunnel> {
        let unavailable = |message: String| OpError::new(ErrorClass::Unavailable, message).with_code("Ssm");
        // The kernel chooses; the CLI takes it a moment later.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|e| unavailable(format!("no port is free on this machine: {e}")))?
            .port();
        let parameters = serde_json::json!({
            "host": [on.host], "portNumber": [on.port.to_string()], "localPortNumber": [port.to_string()],
        });
        let mut child = Command::new(&self.aws)
            .args(["ssm", "start-session", "--target", instance, "--document-name", DOCUMENT, "--parameters"])
            .arg(parameters.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(|e| {
                unavailable(format!("the AWS CLI cannot be started: {e}"))
                    .with_hint("install the AWS CLI and its session plugin, for `connect: { ssm: INSTANCE }`")
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let tunnel = Tunnel { child, port };
        let opened = async {
            let Some(stdout) = stdout else { return false };
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains(OPEN) {
                    // It goes on talking about each connection; nobody listens, and it must not wait for that.
                    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                    return true;
                }
            }
            false
        };
        if timeout(OPEN_TIMEOUT, opened).await == Ok(true) {
            if let Some(stderr) = stderr {
                tokio::spawn(async move {
                    let mut lines = BufReader::new(stderr).lines();
                    while let Ok(Some(_)) = lines.next_line().await {}
                });
            }
            return Ok(tunnel);
        }
        drop(tunnel);
        let mut said = String::new();
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Ok(Some(line))) = timeout(Duration::from_secs(1), lines.next_line()).await {
                if !line.trim().is_empty() {
                    said = line.trim().to_owned();
                }
            }
        }
        let why = if said.is_empty() { "it did not open in time".to_owned() } else { said };
        Err(unavailable(format!("no way to {} through {instance}: {why}", on.host))
            .with_hint("is the instance managed by Systems Manager, and may these credentials start a session on it?"))
    }
}
