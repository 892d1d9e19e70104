//! The parts of a sandbox that are real: a PostgreSQL, two NATS servers and a registry, from the installed binaries,
//! and the local system that a migration starts from.
//!
//! Each has an address from the start, on loopback, and is started when somebody first connects to it:
//!
//! ```text
//! client ── front (our port) ── the server's own port
//!             └─ first connection: start it, wait until it answers, fill it
//! ```
//!
//! So a sandbox that nobody asks for a database costs none, and what a runbook is told of addresses does not change.
//! A server lives in a folder of its own, which goes with it: a sandbox keeps nothing. A supervisor, this binary again,
//! ends the server when the sandbox has ended in whatever way: it holds the other end of a pipe.
//!
//! Where a binary is missing, that part says so, with the package to install, and all others are there.

mod child;
mod local;
mod nats;
mod places;
mod postgres;
mod registry;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;

pub use self::child::{Order, supervise};
use self::places::Folder;
use crate::database::{Database, Opened};
use crate::sandbox::Sandbox;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a server may take to end.
const END: Duration = Duration::from_secs(8);

/// What there is of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `postgresql`, `nats`, `local_nats`, `registry` or `local_system`.
    pub name: String,
    /// Where it is: `127.0.0.1:5000`. Nothing listens there when it is missing.
    pub address: String,
    /// The Debian package to install, when its binary is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What the parts are told.
#[derive(Debug, Clone)]
pub struct PartSettings {
    /// The folder of the sandbox.
    pub state: PathBuf,
    /// The stream of the local system. Its subjects begin with `discovery.`.
    pub stream: String,
}

/// The parts of one sandbox.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    servers: Vec<Arc<Server>>,
    parts: Vec<Part>,
    tasks: JoinSet<()>,
}

/// What gets a server going, and says where it is.
type Start = Box<dyn Fn() -> BoxFuture<'static, Result<Running, PartError>> + Send + Sync>;
/// What is done before each connection.
type Prelude = Box<dyn Fn(SocketAddr) -> BoxFuture<'static, Result<(), PartError>> + Send + Sync>;

/// A server that is started when it is first wanted.
struct Server {
    name: &'static str,
    start: Start,
    before_each: Option<Prelude>,
    running: OnceCell<Running>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.name)
    }
}

/// A server that answers.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    child: tokio::sync::Mutex<child::Child>,
}

/// Why a part cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The system said no.
    #[error("could not {what} `{subject}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        subject: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A server did not do what it should.
    #[error("{server}: {message}")]
    Server {
        /// Which.
        server: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl PartError {
    fn io(what: &'static str, subject: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let subject = subject.into();
        move |source| Self::Io { what, subject, source }
    }

    fn server(server: &'static str, message: impl Into<String>) -> Self {
        Self::Server { server, message: message.into() }
    }
}

/// The ports that the parts have where nothing else has them, so that addresses, and with them the plans of a
/// runbook, stay the same from one sandbox to the next.
const USUAL_PORTS: [(&str, u16); 4] =
    [("nats", 14222), ("local_nats", 14322), ("registry", 15000), ("local_system", 18080)];

/// The command that prints what the local system exports, as an input that is a list.
fn export_command(address: &str) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "switchback-sandbox".into());
    serde_json::json!([program, "export", format!("http://{address}/export")]).to_string()
}

impl Parts {
    /// Gives every part its address and listens there; starts none. What a sandbox that was killed left behind in
    /// its folder is removed first.
    ///
    /// # Errors
    /// When the folder cannot be written, or no port can be had.
    pub async fn prepare(settings: &PartSettings, sandbox: &Sandbox) -> Result<Self, PartError> {
        let folder = places::begin(&settings.state)?;
        let mut all = Self { folder: folder.clone(), servers: Vec::new(), parts: Vec::new(), tasks: JoinSet::new() };

        if let Some(database) = sandbox.database() {
            let binaries = postgres::Binaries::find();
            let missing = binaries.is_none().then_some(postgres::PACKAGE);
            all.say("postgresql", &database.usual_address().to_string(), missing);
            match binaries {
                Some(binaries) => all.serve_databases(&folder, sandbox, database, binaries),
                // Refused at once, instead of never answered.
                None => drop(database.opened()),
            }
        }

        let binary = places::binary("nats-server", &[]);
        for (name, stream) in [("nats", None), ("local_nats", Some(settings.stream.clone()))] {
            let listener = listen(name).await?;
            all.say(name, &address(&listener)?, binary.is_none().then_some(nats::PACKAGE));
            let Some(binary) = binary.clone() else { continue };
            let folder = folder.join(name);
            let start: Start = Box::new(move || {
                let (binary, folder, stream) = (binary.clone(), folder.clone(), stream.clone());
                Box::pin(async move { nats::start(&binary, Folder::here(folder)?, stream.as_deref()).await })
            });
            all.serve(name, listener, start);
        }

        let binary = places::binary("docker-registry", &["registry"]);
        let listener = listen("registry").await?;
        all.say("registry", &address(&listener)?, binary.is_none().then_some(registry::PACKAGE));
        if let Some(binary) = binary {
            let folder = folder.join("registry");
            let start: Start = Box::new(move || {
                let (binary, folder) = (binary.clone(), folder.clone());
                Box::pin(async move { registry::start(&binary, Folder::here(folder)?).await })
            });
            all.serve("registry", listener, start);
        }

        let listener = listen("local_system").await?;
        all.say("local_system", &address(&listener)?, None);
        all.tasks.spawn(local::serve(sandbox.clone(), listener));
        Ok(all)
    }

    /// What there is, in a fixed order.
    #[must_use]
    pub fn list(&self) -> &[Part] {
        &self.parts
    }

    /// What a runbook's inputs of these names are, unless the operator says it: only where the part is there. No
    /// secret is among them.
    #[must_use]
    pub fn inputs(&self) -> BTreeMap<String, String> {
        let mut inputs = BTreeMap::new();
        for part in self.parts.iter().filter(|part| part.missing.is_none()) {
            let address = &part.address;
            let given: &[(&str, String)] = &match part.name.as_str() {
                "nats" => vec![("nats_url", format!("nats://{address}"))],
                "local_nats" => vec![("local_nats_url", format!("nats://{address}"))],
                // No engine is asked for: images are made of files beside the runbook.
                "registry" => vec![("registry", address.clone()), ("image_source", "files".to_owned())],
                "local_system" => {
                    vec![("health_connect_to", address.clone()), ("export_command", export_command(address))]
                }
                _ => Vec::new(),
            };
            inputs.extend(given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        inputs
    }

    /// Ends every server that was started, and removes its folder.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
        let ending = self.servers.iter().filter_map(|server| server.running.get()).map(|running| async {
            running.child.lock().await.end(END).await;
        });
        futures_util::future::join_all(ending).await;
        places::finish(&self.folder);
    }

    fn say(&mut self, name: &str, address: &str, missing: Option<&str>) {
        let missing = missing.map(str::to_owned);
        if let Some(package) = &missing {
            tracing::warn!(part = name, package, "not installed");
        }
        self.parts.push(Part { name: name.to_owned(), address: address.to_owned(), missing });
    }

    fn serve(&mut self, name: &'static str, listener: TcpListener, start: Start) {
        let server = Arc::new(Server { name, start, before_each: None, running: OnceCell::new() });
        self.servers.push(Arc::clone(&server));
        self.tasks.spawn(front(server, listener));
    }

    /// The databases of all clusters are in one server; each port that a cluster has leads to it.
    fn serve_databases(
        &mut self,
        folder: &Path,
        sandbox: &Sandbox,
        database: &Arc<Database>,
        binaries: postgres::Binaries,
    ) {
        let folder = folder.join("postgresql");
        let password = places::unguessable();
        let applied = Arc::new(tokio::sync::Mutex::new(BTreeMap::new()));
        let (admin, sandbox) = (password.clone(), sandbox.clone());
        let before_each: Prelude = Box::new(move |address| {
            let (admin, sandbox, applied) = (admin.clone(), sandbox.clone(), Arc::clone(&applied));
            Box::pin(async move {
                let wanted = sandbox.database_roles().await;
                postgres::settle_roles(address, &admin, &wanted, &mut *applied.lock().await).await
            })
        });
        let start: Start = Box::new(move || {
            let (binaries, folder, password) = (binaries.clone(), folder.clone(), password.clone());
            Box::pin(async move { postgres::start(&binaries, &folder, &password).await })
        });
        let server =
            Arc::new(Server { name: "postgresql", start, before_each: Some(before_each), running: OnceCell::new() });
        self.servers.push(Arc::clone(&server));
        self.tasks.spawn(fronts(server, database.opened()));
    }
}

/// A front for every port that is opened while it runs.
async fn fronts(server: Arc<Server>, mut opened: mpsc::UnboundedReceiver<Opened>) {
    let mut fronts = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = fronts.join_next() => {}
            next = opened.recv() => match next.map(|Opened(listener)| TcpListener::from_std(listener)) {
                Some(Ok(listener)) => { fronts.spawn(front(Arc::clone(&server), listener)); }
                Some(Err(error)) => tracing::warn!(%error, part = server.name, "a port cannot be listened on"),
                None => return,
            },
        }
    }
}

/// Leads every connection to the server, which the first one starts.
async fn front(server: Arc<Server>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(lead(Arc::clone(&server), stream)); }
                Err(error) => {
                    tracing::warn!(%error, part = server.name, "could not accept a connection");
                    // Out of descriptors: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

async fn lead(server: Arc<Server>, mut client: TcpStream) {
    let _ = client.set_nodelay(true);
    let led = async {
        let running = server.running.get_or_try_init(|| (server.start)()).await?;
        if let Some(before_each) = &server.before_each {
            before_each(running.address).await?;
        }
        let connected = TcpStream::connect(running.address).await;
        let mut behind = connected.map_err(PartError::io("connect to", running.address.to_string()))?;
        let _ = behind.set_nodelay(true);
        // How a connection ends is between the two of them.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut behind).await;
        Ok::<(), PartError>(())
    };
    if let Err(error) = led.await {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, part = server.name, "a connection was closed");
    }
}

/// The usual port of a part, else one that is free.
async fn listen(name: &str) -> Result<TcpListener, PartError> {
    let usual = USUAL_PORTS.iter().find(|(of, _)| *of == name).map_or(0, |(_, port)| *port);
    if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).await {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(PartError::io("listen for", name))
}

fn address(listener: &TcpListener) -> Result<String, PartError> {
    listener.local_addr().map(|address| address.to_string()).map_err(PartError::io("listen on", "127.0.0.1"))
}

/// Asks until the answer is yes, while the server lives.
async fn until_ready<F>(
    server: &'static str,
    child: &mut child::Child,
    mut is_ready: impl FnMut() -> F,
) -> Result<(), PartError>
where
    F: Future<Output = bool>,
{
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if is_ready().await {
            return Ok(());
        }
        if let Some(said) = child.ended() {
            return Err(PartError::server(server, format!("it ended before it answered: {said}")));
        }
        if tokio::time::Instant::now() >= end {
            return Err(PartError::server(server, format!("it does not answer after {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
