//! What the tests need beside Rust, and how it gets onto a fresh Debian or Ubuntu machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Failed, cargo, run, succeeds};

/// The versions that the tests were written against.
const MOTO: &str = "moto[server]==5.2.1";
const AWS_CLI: &str = "awscli==1.45.11";

/// A C compiler, which `SQLite` and the TLS library are built with.
pub(crate) fn c_compiler() -> Result<(), Failed> {
    if succeeds(Command::new("cc").arg("--version")) {
        return Ok(());
    }
    install(&["build-essential"])
}

/// Builds everything, for the demo as for the tests: the dependencies of tests turn on features, so
/// binaries that are built without them would compile the AWS SDK a second time.
pub(crate) fn build() -> Result<(), Failed> {
    run(cargo().args(["build", "--workspace", "--all-targets"]))
}

/// `cargo nextest` runs tests as processes of their own, all at the same time.
pub(crate) fn has_nextest() -> bool {
    succeeds(cargo().args(["nextest", "--version"]))
}

/// The servers that the sandbox runs beside its emulator, and tests run by themselves: package, and what it has that
/// is looked for.
const SERVERS: [(&str, &[&str]); 3] = [
    ("postgresql", &["initdb", "postgres"]),
    ("nats-server", &["nats-server"]),
    ("docker-registry", &["docker-registry"]),
];
/// Where packages put binaries that need not be on the PATH.
const BESIDE_PATH: [&str; 3] = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];

/// Installs those that are missing.
pub(crate) fn servers() -> Result<(), Failed> {
    let missing: Vec<&str> =
        SERVERS.iter().filter(|(_, binaries)| !binaries.iter().all(|it| is_there(it))).map(|(name, _)| *name).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

fn is_there(binary: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let mut folders = std::env::split_paths(&path).chain(BESIDE_PATH.map(PathBuf::from)).chain(debian);
    folders.any(|folder| folder.join(binary).is_file())
}

/// A virtual environment with moto (the independent AWS emulator) and the AWS CLI.
pub(crate) struct PythonTools {
    bin: PathBuf,
}

impl PythonTools {
    /// Where the tests find them.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("SWITCHBACK_MOTO_SERVER", self.bin.join("moto_server")), ("SWITCHBACK_AWS_CLI", self.bin.join("aws"))]
    }
}

/// Makes the virtual environment where it is missing.
pub(crate) fn python_tools() -> Result<PythonTools, Failed> {
    let venv = cache_dir()?.join("python-tools");
    let bin = venv.join("bin");
    let stamp = venv.join("installed");
    let wanted = format!("{MOTO} {AWS_CLI}");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) && bin.join("moto_server").exists() {
        return Ok(PythonTools { bin });
    }
    if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        install(&["python3", "python3-venv"])?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    // One after another: the two agree on botocore only within limits that pip works out.
    run(Command::new(bin.join("pip")).args(["install", "--quiet", "--disable-pip-version-check", MOTO, AWS_CLI]))?;
    std::fs::write(&stamp, wanted).map_err(|e| Failed(format!("{} cannot be written: {e}", stamp.display())))?;
    Ok(PythonTools { bin })
}

/// A folder that outlives `cargo clean`.
fn cache_dir() -> Result<PathBuf, Failed> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache")))
        .ok_or_else(|| Failed("neither XDG_CACHE_HOME nor HOME is set".into()))?;
    Ok(home.join("switchback"))
}

/// Installs Debian packages as root, or says what to install.
fn install(packages: &[&str]) -> Result<(), Failed> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    let has_apt = succeeds(Command::new("apt-get").arg("--version"));
    if !is_root || !has_apt {
        return Err(Failed(format!(
            "something is missing; install it and try again: sudo apt-get install {}",
            packages.join(" ")
        )));
    }
    run(Command::new("apt-get").args(["update", "-q"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}
