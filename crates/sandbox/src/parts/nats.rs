//! NATS with JetStream: the new one, which is empty, and the one of the local system, which has a stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use async_nats::jetstream;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::child::Child;
use super::places::Folder;
use super::{PartError, Running, until_ready};

pub(super) const PACKAGE: &str = "nats-server";
const NAME: &str = "nats";
/// How many messages the stream of the local system has.
const MESSAGES: u32 = 200;

/// Starts a server; with a stream of that name in it, if one is given.
pub(super) async fn start(binary: &Path, folder: Folder, stream: Option<&str>) -> Result<Running, PartError> {
    let address = free_port(NAME)?;
    let (port, store) = (address.port().to_string(), folder.path().display().to_string());
    let args = ["-js", "-sd", &store, "-a", "127.0.0.1", "-p", &port];
    let mut child = Child::start(binary, &args, folder, None, false)?;
    until_ready(NAME, &mut child, || answers(address)).await?;
    if let Some(stream) = stream
        && let Err(error) = fill(address, stream).await
    {
        child.end(super::END).await;
        return Err(PartError::server(NAME, format!("its stream could not be made: {error}")));
    }
    Ok(Running { address, child: Mutex::new(child) })
}

/// An address that nobody has now.
pub(super) fn free_port(of: &'static str) -> Result<SocketAddr, PartError> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(PartError::io("listen for", of))?;
    listener.local_addr().map_err(PartError::io("listen for", of))
}

/// A server greets whoever connects.
async fn answers(address: SocketAddr) -> bool {
    let ask = async {
        let mut greeting = [0; 5];
        TcpStream::connect(address).await?.read_exact(&mut greeting).await?;
        Ok::<bool, std::io::Error>(&greeting == b"INFO ")
    };
    ask.await.unwrap_or(false)
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Fills the stream of the local system: what its agents have discovered.
async fn fill(address: SocketAddr, name: &str) -> Result<(), Error> {
    let client = async_nats::connect(address.to_string()).await?;
    let context = jetstream::new(client.clone());
    let config = jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec!["discovery.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await?;
    let mut acks = Vec::new();
    for number in 1..=MESSAGES {
        let kind = ["pattern", "anomaly", "correlation"][number as usize % 3];
        let message = json!({
            "discovery_id": format!("discovery-{number:04}"),
            "agent_id": format!("agent-{}", number % 3 + 1),
            "type": kind,
            "timestamp": 1_700_000_000 + u64::from(number),
            "confidence": f64::from(number % 100) / 100.0,
            "data": {"source": "local", "number": number},
        });
        acks.push(context.publish(format!("discovery.{kind}"), message.to_string().into()).await?);
    }
    for ack in acks {
        ack.await?;
    }
    client.drain().await?;
    Ok(())
}
