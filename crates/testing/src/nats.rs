//! A real NATS server of a test's own: with JetStream, on a port and in a folder of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::{free_port, wait_for};

/// Where Debian puts it, besides `PATH`.
const DEBIAN: &str = "/usr/sbin/nats-server";
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that ends with this value.
#[derive(Debug)]
pub struct NatsServer {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
}

impl NatsServer {
    /// A server that asks nobody who he is.
    ///
    /// # Errors
    /// When there is no `nats-server`, or it does not come up.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// With options of the command line besides, such as `--user` and `--pass`.
    ///
    /// # Errors
    /// When there is no `nats-server`, or it does not come up.
    pub fn start_with(options: &[&str]) -> io::Result<Self> {
        let port = free_port()?;
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        let mut server = Self { child: None, folder: TempDir::new()?, port, options };
        server.restart()?;
        Ok(server)
    }

    /// Kills it, and starts it again on the same port with what it stored.
    ///
    /// # Errors
    /// When it does not come up again.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        let child = Command::new(program()?)
            .args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"])
            .arg(self.folder.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        wait_for(self.port, PATIENCE)
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `nats://127.0.0.1:4222`
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program() -> io::Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join("nats-server")).find(|path| path.is_file());
    found.or_else(|| Some(PathBuf::from(DEBIAN)).filter(|path| Path::is_file(path))).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "there is no nats-server: install it (`apt-get install nats-server`)")
    })
}
