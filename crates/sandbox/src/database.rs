//! What emulated Aurora clusters and a real server have in common: where clusters listen, and who may sign in.
//!
//! The rules know a cluster's port and, while a call goes through them, its password; the parts know the server. They
//! meet here. A sandbox without parts has none of this, and its clusters have endpoints that lead nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::notes::Notes;

/// The port of a cluster that says none.
const USUAL: u16 = 5432;

/// What a cluster is known by for its life: another one of the same name has another.
pub(crate) fn id(arn: &str, notes: &Notes) -> String {
    format!("{arn}#{}", notes.numbers.get(arn).copied().unwrap_or_default())
}

/// A port that clusters listen on now.
#[derive(Debug)]
pub(crate) struct Opened(pub(crate) TcpListener);

/// The master user of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) password: String,
    /// The cluster's first database.
    pub(crate) database: Option<String>,
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({})", self.name)
    }
}

/// The clusters' common side.
///
/// A cluster has the port that it was made with, so that what is read back is what was asked for. Two sandboxes may
/// both have a cluster on 5432: each takes a loopback address of its own, as far as the system has more than one.
#[derive(Debug)]
pub(crate) struct Database {
    host: Ipv4Addr,
    ports: Mutex<Ports>,
}

#[derive(Debug)]
struct Ports {
    open: Vec<u16>,
    tell: mpsc::UnboundedSender<Opened>,
    told: Option<mpsc::UnboundedReceiver<Opened>>,
    /// By the clusters' ids, see [`id`].
    passwords: BTreeMap<String, String>,
}

impl Database {
    /// A loopback address for this sandbox, with the usual port open.
    pub(crate) fn new() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let [a, b, c, ..] = *Uuid::now_v7().as_bytes().last_chunk::<3>().unwrap_or(&[0; 3]);
        // Not 127.0.x.y, where others listen, and neither a network's first nor its last address.
        let own = Ipv4Addr::new(127, a | 0x40, b, c.clamp(1, 254));
        let host = if TcpListener::bind((own, USUAL)).is_ok() { own } else { Ipv4Addr::LOCALHOST };
        let database = Self {
            host,
            ports: Mutex::new(Ports { open: Vec::new(), tell, told: Some(told), passwords: BTreeMap::new() }),
        };
        database.open(USUAL);
        database
    }

    /// The host of every cluster.
    pub(crate) fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Where a cluster that says no port listens.
    pub(crate) fn usual_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.host), USUAL)
    }

    /// A cluster has this port: somebody listens there from now on.
    pub(crate) fn open(&self, port: u16) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.open.contains(&port) {
            return;
        }
        let listener = TcpListener::bind((self.host, port)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match listener {
            Ok(listener) => {
                ports.open.push(port);
                // Nobody listens when the sandbox is about to end.
                let _ = ports.tell.send(Opened(listener));
            }
            Err(error) => tracing::warn!(%error, host = %self.host, port, "a cluster cannot be listened for"),
        }
    }

    /// The ports that are opened, from the first on. Once; later there are none.
    pub(crate) fn opened(&self) -> mpsc::UnboundedReceiver<Opened> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.told.take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    /// The password of a cluster, is this now.
    pub(crate) fn set_password(&self, id: &str, password: &str) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.passwords.insert(id.to_owned(), password.to_owned());
    }

    /// The password of a cluster. None when AWS made and keeps it.
    pub(crate) fn password(&self, id: &str) -> Option<String> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).passwords.get(id).cloned()
    }
}
