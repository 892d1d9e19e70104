//! The registry: `docker-registry` with its files in its folder, where manifests may be deleted.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::child::Child;
use super::places::Folder;
use super::{PartError, Running, until_ready};

pub(super) const PACKAGE: &str = "docker-registry";
const NAME: &str = "registry";

pub(super) async fn start(binary: &Path, folder: Folder) -> Result<Running, PartError> {
    let address = super::nats::free_port(NAME)?;
    let file = folder.path().join("config.yml");
    let config = serde_json::json!({
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": true}},
        "storage": {
            "filesystem": {"rootdirectory": folder.path().join("images")},
            "delete": {"enabled": true},
            "maintenance": {"uploadpurging": {"enabled": false}},
        },
        "http": {"addr": address.to_string()},
    });
    // JSON is YAML.
    std::fs::write(&file, config.to_string()).map_err(PartError::io("write", file.display().to_string()))?;
    let config = file.display().to_string();
    let mut child = Child::start(binary, &["serve", &config], folder, None, false)?;
    until_ready(NAME, &mut child, || answers(address)).await?;
    Ok(Running { address, child: Mutex::new(child) })
}

async fn answers(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await?;
        stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        Ok::<bool, std::io::Error>(head.ends_with(b" 200"))
    };
    ask.await.unwrap_or(false)
}
