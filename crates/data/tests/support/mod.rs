//! A PostgreSQL server for a test: its own folder, its own port, gone with the test.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use switchback_data::command::{CommandAsk, Commands};
use switchback_data::postgres::ask::PgAnswer;
use switchback_data::postgres::connection::Tls;
use switchback_data::postgres::{Connection, PgAsk, PgRemote};
use switchback_engine::cx::{Clock, Contexts, CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_engine::file::{FileAsk, Files};
use switchback_engine::remote::Answers;
use switchback_engine::secrets::{Given, Secrets};
use switchback_engine::{Cx, Operation, Undo, Verdict};
use switchback_model::record::Called;
use switchback_model::{Generation, OpResult, RunId, SecretRef, StepId};
use tokio::time::Instant;

/// The password of the role `postgres`.
pub(crate) const PASSWORD: &str = "Canary-pg-5b0c";

/// A running server.
pub(crate) struct Server {
    _folder: tempfile::TempDir,
    process: Child,
    pub(crate) port: u16,
}

/// Where Debian has the programs of a server, the newest version first; else the PATH.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.is_file()).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = found.pop().or_else(|| std::env::split_paths(&path).map(|p| p.join(name)).find(|p| p.is_file()));
    found.unwrap_or_else(|| {
        panic!("`{name}` is not installed: these tests want a PostgreSQL server (apt install postgresql)")
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The server refuses to be root's.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn run(mut command: Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    /// A new server, with a database `postgres` and a role of that name.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One with these settings.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("switchback-pg").tempdir_in("/tmp").expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("permissions");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("a file");
        if is_root() {
            let id = Command::new("id").args(["-u", "postgres"]).output().expect("id").stdout;
            let uid = String::from_utf8_lossy(&id).trim().parse().expect("there is a user `postgres`");
            chown(&data, Some(uid), None).expect("chown");
            chown(folder.path(), Some(uid), None).expect("chown");
            chown(&password, Some(uid), None).expect("chown");
        }
        let mut init = as_postgres(&program("initdb"));
        init.args([
            "--no-sync",
            "--no-instructions",
            "-E",
            "UTF8",
            "--locale=C",
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
        ]);
        init.arg("--pwfile").arg(&password).arg("-D").arg(&data);
        run(init);
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let process = Self::spawn(folder.path(), port, settings);
        let mut server = Self { _folder: folder, process, port };
        server.wait();
        server
    }

    fn spawn(folder: &Path, port: u16, settings: &[&str]) -> Child {
        let mut command = as_postgres(&program("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-h", "127.0.0.1", "-F"]);
        command.args(["-p", &port.to_string(), "-c", "full_page_writes=off", "-c", "max_connections=40"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    }

    #[expect(clippy::disallowed_methods, reason = "another process starts, on its own clock")]
    fn wait(&mut self) {
        for _ in 0..1200 {
            let mut ready = Command::new(program("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ready.status().is_ok_and(|status| status.success()) {
                return;
            }
            if self.process.try_wait().expect("its state").is_some() {
                let mut said = String::new();
                let _ = self.process.stderr.take().expect("stderr").read_to_string(&mut said);
                panic!("the server ended: {said}");
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the server does not become ready");
    }

    /// A connection to that database.
    pub(crate) fn on(&self, database: &str) -> Connection {
        on(self.port, database)
    }

    /// What a person does with psql; one text a row.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        let mut psql = Command::new(program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]).env("PGPASSWORD", PASSWORD);
        let output = psql.output().expect("psql");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown: its own processes end with it, and nothing is kept.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::QUIT,
        );
        let _ = self.process.wait();
    }
}

/// A connection to a database of the server at that port.
pub(crate) fn on(port: u16, database: &str) -> Connection {
    Connection {
        host: "127.0.0.1".to_owned(),
        port,
        database: database.to_owned(),
        user: "postgres".to_owned(),
        password: Some(password().1),
        tls: Tls::Prefer,
        ca_file: None,
        connect: Default::default(),
    }
}

/// The secret of tests: what is recorded of it, and its value.
fn password() -> (Secrets, SecretRef) {
    let given = Given { value: SecretString::from(PASSWORD.to_owned()), source: "the test".to_owned(), version: None };
    let (recorded, secrets) = Secrets::begin([7; 16], [("password".to_owned(), given)].into()).expect("a secret");
    let reference = recorded.inputs.get("password").expect("it is recorded").clone();
    (secrets, reference)
}

/// Remembers the calls.
#[derive(Default)]
pub(crate) struct Calls(Mutex<Vec<Called>>);

impl Calls {
    /// What was called, each as `postgresql:DropDatabase`, and forgets it.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("calls"))
            .into_iter()
            .map(|call| format!("{}:{}", call.service, call.operation))
            .collect()
    }
}

impl CxSink for Calls {
    fn progress(&self, _: &StepId, _: &str) {}
    fn called(&self, _: &StepId, _: Generation, call: Called) {
        self.0.lock().expect("calls").push(call);
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

impl Fence for Fixed {
    fn check(&self) -> OpResult<()> {
        Ok(())
    }
}

/// A run in a test: its folder for files, and its calls.
pub(crate) struct Run {
    number: u128,
    shared: Arc<RunCx>,
    pub(crate) calls: Arc<Calls>,
}

impl Run {
    /// The run of that number, with its files in that folder.
    pub(crate) fn new(number: u128, folder: &Path) -> Self {
        Self::by(number, folder, PgRemote::new("aws"))
    }

    /// One that reaches servers in this way.
    pub(crate) fn by(number: u128, folder: &Path, remote: Arc<PgRemote>) -> Self {
        let calls = Arc::new(Calls::default());
        let contexts = Contexts::new()
            .with::<Answers<PgAsk>>(remote)
            .with::<Answers<FileAsk>>(Arc::new(Files::inside(folder)))
            .with::<Answers<CommandAsk>>(Arc::new(Commands));
        let shared = RunCx {
            run: RunId::new(uuid::Uuid::from_u128(number)),
            tag_prefix: "switchback".into(),
            clock: Arc::new(Fixed),
            contexts,
            secrets: password().0,
            fence: Arc::new(Fixed),
            sink: calls.clone(),
            control: Control::new(),
        };
        Self { number, shared: Arc::new(shared), calls }
    }

    /// The context of one of its steps.
    pub(crate) fn cx(&self, step: &str) -> Cx {
        let token = format!("{:08x}{:024x}", self.number << 8, 0);
        Cx::new(
            self.shared.clone(),
            StepId::new(step),
            Generation::FIRST,
            &token,
            Instant::now() + Duration::from_secs(120),
        )
    }
}

/// A step in a test.
pub(crate) struct Step<O: Operation> {
    pub(crate) op: O,
    pub(crate) params: O::Params,
    pub(crate) before: O::Before,
    pub(crate) output: O::Output,
}

impl<O: Operation> Step<O> {
    /// Goes through it, as the executor does, and sees that it is verified.
    pub(crate) async fn forward(cx: &Cx, op: O, params: O::Params) -> OpResult<Self> {
        op.check(&params).expect("good parameters");
        let before = op.capture(cx, &params).await?;
        let output = op.create(cx, &params, &before).await?;
        let output = op.settle(cx, &params, &before, &output).await?;
        let step = Self { op, params, before, output };
        let verdict = step.verify(cx, switchback_engine::Expect::Created).await?;
        assert!(verdict.holds(), "{verdict:?}");
        Ok(step)
    }

    /// What `verify` says.
    pub(crate) async fn verify(&self, cx: &Cx, want: switchback_engine::Expect) -> OpResult<Verdict> {
        self.op.verify(cx, &self.params, &self.before, Some(&self.output), want).await
    }

    /// Goes back, and sees that it is verified; a second time there is nothing to do.
    pub(crate) async fn back(&self, cx: &Cx) -> OpResult<()> {
        self.op.rollback(cx, &self.params, &self.before, &self.output).await?;
        let verdict = self.verify(cx, switchback_engine::Expect::RolledBack).await?;
        assert!(verdict.holds(), "{verdict:?}");
        let again = self.op.rollback(cx, &self.params, &self.before, &self.output).await?;
        assert_eq!(again, Undo::Nothing);
        Ok(())
    }
}

/// What of a verdict does not hold.
pub(crate) fn differences(verdict: &Verdict) -> Vec<String> {
    verdict.compared.iter().filter(|c| !c.holds()).map(|c| c.what.clone()).collect()
}

/// A call, answered by the real server.
pub(crate) async fn ask(cx: &Cx, ask: PgAsk) -> OpResult<PgAnswer> {
    cx.ask(ask).await
}
