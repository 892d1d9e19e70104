//! The main job, from an empty account to a network and back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::shell::{Failed, exit_code, run, workspace};
use crate::tools;

const RUNBOOK: &str = "runbooks/mistersmith/runbook.yaml";
/// The secret that the runbook asks for, and what an operator would set it to.
const PASSWORD: (&str, &str) = ("SWITCHBACK_INPUT_DB_PASSWORD", "only-for-the-demo");

/// A sandbox in a folder of its own; ended when dropped.
struct Sandbox {
    switchback: PathBuf,
    state: tempfile::TempDir,
}

impl Sandbox {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.switchback);
        command.current_dir(workspace()).env(PASSWORD.0, PASSWORD.1).arg("--state").arg(self.state.path()).args(args);
        command
    }

    /// Everything that exists in the sandbox.
    fn resources(&self) -> Result<Vec<Value>, Failed> {
        let file = self.state.path().join("sandbox.json");
        let bad = |what: &str| Failed(format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|e| bad(&e.to_string()))?;
        let sandbox: Value = serde_json::from_str(&text).map_err(|e| bad(&e.to_string()))?;
        let endpoint = sandbox["endpoint"].as_str().ok_or_else(|| bad("no endpoint"))?;
        let address = endpoint.trim_start_matches("http://");
        let world = get(address, "/_switchback/world").map_err(|e| bad(&e.to_string()))?;
        let world: Value = serde_json::from_str(&world).map_err(|e| bad(&e.to_string()))?;
        let all = world["resources"].as_array().ok_or_else(|| bad("the sandbox lists no resources"))?;
        Ok(all.iter().filter(|r| r["default"] != true).cloned().collect())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The sandbox is a process of its own: nobody else would end it.
        let _ = self.command(&["sandbox", "down"]).status();
    }
}

pub(crate) fn demo() -> Result<(), Failed> {
    tools::c_compiler()?;
    tools::servers()?;
    tools::build()?;
    let state = tempfile::tempdir().map_err(|e| Failed(format!("no folder for the demo's state: {e}")))?;
    let sandbox = Sandbox { switchback: built("switchback")?, state };

    run(&mut sandbox.command(&["sandbox", "up"]))?;
    let before = sandbox.resources()?;
    run(&mut sandbox.command(&["apply", RUNBOOK, "--sandbox", "--auto-approve"]))?;
    run(&mut sandbox.command(&["status"]))?;
    let made = sandbox.resources()?;
    println!("\nIn the sandbox there are now:");
    for resource in &made {
        let name = resource["tags"]["Name"].as_str().or_else(|| resource["attributes"]["name"].as_str());
        let name = name.unwrap_or_default();
        println!("  {:<22} {:<26} {name}", text(resource, "kind"), text(resource, "id"));
    }
    if made.len() <= before.len() {
        return Err(Failed("the apply made nothing".into()));
    }
    run(&mut sandbox.command(&["verify"]))?;
    run(&mut sandbox.command(&["unwind", "--all", "--auto-approve", "--reason", "the demo goes back"]))?;
    let left = sandbox.resources()?;
    println!("\nLeft in the sandbox: {} resources ({} before the demo)", left.len(), before.len());
    if left != before {
        return Err(Failed(format!("something is left: {left:?}")));
    }
    let code = exit_code(&mut sandbox.command(&["runs"]))?;
    if code == 0 { Ok(()) } else { Err(Failed(format!("`switchback runs` ended with exit code {code}"))) }
}

fn text(resource: &Value, field: &str) -> String {
    resource[field].as_str().unwrap_or("?").to_owned()
}

/// The binary of that name, beside this one.
fn built(name: &str) -> Result<PathBuf, Failed> {
    let here = std::env::current_exe().map_err(|e| Failed(format!("where this program is: {e}")))?;
    let path = here.parent().unwrap_or(Path::new(".")).join(name);
    if path.exists() { Ok(path) } else { Err(Failed(format!("{} was not built", path.display()))) }
}

/// A plain HTTP GET from a loopback address.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let body = reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("not an HTTP reply"))
}
