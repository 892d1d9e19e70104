//! `switchback-sandbox`: a sandbox as a process of its own, so that it outlives the processes that are tried on it.
//!
//! Arguments, signals and exit codes; everything else is in the library.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use switchback_model::rehearsal::Line;
use switchback_rehearsal::case::Case;
use switchback_sandbox::rehearse::{self, Request};
use switchback_sandbox::{
    DEFAULT_ACCOUNT, DEFAULT_REGION, Info, Order, PartSettings, Parts, Proxy, Sandbox, StateFolder, bind, read_plan,
    serve, serve_proxy, supervise,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A local stand-in for AWS.
#[derive(Parser)]
#[command(name = "switchback-sandbox", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT
    Serve(Serve),
    /// Put faults in front of another HTTP endpoint, until SIGTERM or SIGINT
    ///
    /// Admin routes as those of the sandbox, under `/_switchback/`: `health`, `faults`, `calls`, `clock`, `reset`. The
    /// faults `lag`, `stuck` and `meddle` need the rules of the sandbox and are refused here.
    Faults(FaultsBefore),
    /// Rehearse the plan on stdin; prints JSON lines
    Rehearse(Rehearse),
    /// Run a server for as long as stdin is open; how a sandbox runs its parts
    #[command(hide = true)]
    Part(Order),
    /// Print what the local system of a sandbox exports; what a runbook runs there to export it
    #[command(hide = true)]
    Export {
        /// `http://127.0.0.1:PORT/export`
        url: String,
    },
}

#[derive(Args)]
struct Rehearse {
    /// Threads; all cores when it is not said
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Run one of so many cases
    #[arg(long, value_name = "N", default_value = "1")]
    sample: NonZeroU64,
    /// What chooses the cases of a sample, and the pauses of the engine
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run this case again, and no other
    #[arg(long, value_name = "ID")]
    case: Option<Case>,
}

#[derive(Args)]
struct Serve {
    /// Folder for `sandbox.json`, which says where the sandbox listens
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// AWS account to play, for access keys that do not say another one
    #[arg(long, value_name = "ID", default_value = DEFAULT_ACCOUNT, value_parser = account)]
    account: String,
    /// AWS region to play; all others are there as well
    #[arg(long, value_name = "R", default_value = DEFAULT_REGION)]
    region: String,
    /// How long new resources are pending, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 50)]
    settle_ms: u64,
    /// How long databases, NAT gateways and endpoints take, in milliseconds; as long as `--settle-ms` when it is not said
    #[arg(long, value_name = "N")]
    slow_ms: Option<u64>,
    /// A new role cannot be read for as long as `--settle-ms`
    #[arg(long)]
    iam_lag: bool,
    /// How long an unanswered write may still land, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 200)]
    quiet_ms: u64,
    /// AWS only: no PostgreSQL, NATS, registry and local system
    #[arg(long)]
    bare: bool,
    /// Stream of the local system, with subjects that begin with `discovery.`
    #[arg(long, value_name = "NAME", default_value = "DISCOVERIES")]
    local_stream: String,
}

#[derive(Args)]
struct FaultsBefore {
    /// Where calls go: `http://HOST:PORT`
    #[arg(long, value_name = "URL")]
    target: String,
    /// Port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Plan of faults, in JSON, as the admin route `faults` takes it; none until one is set there
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Seed for the faults of the plan that have a chance, instead of the plan's own
    #[arg(long, value_name = "N", requires = "plan")]
    seed: Option<u64>,
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account id has 12 digits".to_owned())
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| {
            // What the SDK says of connections that are cut on purpose is no news.
            EnvFilter::new(if matches!(command, Command::Rehearse(_)) { "off" } else { "info" })
        }))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Whoever started it may be gone, and its pipe with it.
        .log_internal_errors(false)
        .init();
    let outcome = match command {
        Command::Serve(arguments) => block_on(run(arguments)),
        Command::Faults(arguments) => block_on(run_faults(arguments)),
        Command::Rehearse(arguments) => rehearse(&arguments),
        Command::Export { url } => export(&url),
        Command::Part(order) => block_on(async { Ok(supervise(order).await?) }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr();
            let _ = writeln!(stderr, "error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                let _ = writeln!(stderr, "caused by: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn block_on(
    work: impl Future<Output = Result<(), Box<dyn std::error::Error>>>,
) -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

/// Reads the plan, rehearses, and says on stdout what comes of it, one JSON object a line.
#[expect(clippy::exit, reason = "nobody is left to tell")]
fn rehearse(arguments: &Rehearse) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let request = Request {
        jobs: arguments.jobs.map_or_else(available, NonZeroUsize::get),
        sample: arguments.sample.get(),
        seed: arguments.seed,
        case: arguments.case.clone(),
    };
    let tell = Arc::new(|line: Line| {
        // Whoever listened may be gone; then so is the reason to go on.
        let said = serde_json::to_string(&line).map_err(std::io::Error::other);
        if said.and_then(|line| writeln!(std::io::stdout().lock(), "{line}")).is_err() {
            std::process::exit(1);
        }
    });
    rehearse::run_on(&text, &request, tell).map_err(Into::into)
}

fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

async fn run(arguments: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let state = StateFolder::lock(&arguments.state)?;
    let stop = Stop::new()?;
    let listener = bind(arguments.port).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let sandbox = Sandbox::builder()
        .account(&arguments.account)
        .region(&arguments.region)
        .settle(Duration::from_millis(arguments.settle_ms))
        .slow(Duration::from_millis(arguments.slow_ms.unwrap_or(arguments.settle_ms)))
        .iam_lag(arguments.iam_lag)
        .databases(!arguments.bare)
        .build();
    let settings = PartSettings { state: arguments.state.clone(), stream: arguments.local_stream };
    let parts = if arguments.bare { None } else { Some(Parts::prepare(&settings, &sandbox).await?) };
    state.publish(&Info {
        version: 1,
        endpoint: endpoint.clone(),
        pid: std::process::id(),
        account: arguments.account,
        region: arguments.region,
        quiet_ms: arguments.quiet_ms,
        access_key_id: "AKIASANDBOXSANDBOX00".to_owned(),
        secret_access_key: "the-sandbox-takes-any-secret".to_owned(),
        started_at: started_at(),
        parts: parts.as_ref().map(|parts| parts.list().to_vec()).unwrap_or_default(),
        inputs: parts.as_ref().map(Parts::inputs).unwrap_or_default(),
    })?;
    tracing::info!(%endpoint, state = %arguments.state.display(), "listening");
    let _ = writeln!(std::io::stdout(), "{endpoint}");

    serve(sandbox, listener, stop.came()).await;
    if let Some(parts) = parts {
        parts.end().await;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn run_faults(arguments: FaultsBefore) -> Result<(), Box<dyn std::error::Error>> {
    let stop = Stop::new()?;
    let proxy = Proxy::new(&arguments.target)?;
    if let Some(path) = &arguments.plan {
        let mut plan = read_plan(path)?;
        plan.seed = arguments.seed.unwrap_or(plan.seed);
        proxy.set(plan)?;
    }
    let listener = bind(arguments.port).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tracing::info!(%endpoint, target = proxy.target(), "listening");
    let _ = writeln!(std::io::stdout(), "{endpoint}");
    serve_proxy(proxy, listener, stop.came()).await;
    tracing::info!("stopped");
    Ok(())
}

/// The signals that end it. Made before the endpoint is known to anybody, so that none is missed.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// It outlives the terminal that it was started from.
    _hangup: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())?, _hangup: signal(SignalKind::hangup())? })
    }

    async fn came(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "for people: nothing decides on it")]
fn started_at() -> String {
    jiff::Timestamp::now().to_string()
}

/// Plain HTTP on loopback.
fn export(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let bad = || format!("`{url}` is not `http://ADDRESS:PORT/PATH`");
    let (address, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stream, &mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or("there was no reply")?;
    if !head.lines().next().is_some_and(|line| line.contains(" 200")) {
        return Err(format!("`{url}` answered: {}", head.lines().next().unwrap_or_default()).into());
    }
    std::io::stdout().write_all(body.as_bytes())?;
    Ok(())
}
