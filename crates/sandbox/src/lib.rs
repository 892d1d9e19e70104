//! The sandbox of Switchback: a stand-in for AWS to try runbooks on, without an account.
//!
//! Layers that wrap each other, each an [`Endpoint`]:
//!
//! ```text
//! AWS SDK, in process ─┐
//! AWS SDK, AWS CLI ── server ─┴─ faults ── rules ── emulator
//! ```
//!
//! - the *emulator* (the `winterbaume-*` crates, behind one module) holds all state, one for each account and region;
//! - the *rules* refuse what AWS refuses, mend what the emulator leaves out, and let states take time;
//! - the *faults* lose, delay and spoil calls by plan;
//! - the *server* is what the `switchback-sandbox` binary runs, on loopback.
//!
//! Beside it the binary keeps real servers for what a runbook moves data between: see [`Parts`].
//!
//! The faults stand in front of any other HTTP endpoint as well: see [`Proxy`].
//!
//! The binary that touches production does not link this crate: it talks to a sandbox as it talks to AWS.

mod calls;
mod cbor;
mod client;
mod clock;
mod database;
mod emulator;
mod endpoint;
mod faults;
mod input;
mod items;
mod meddle;
mod models;
mod notes;
mod parts;
mod picture;
mod place;
mod proxy;
mod query;
mod refusal;
pub mod rehearse;
mod report;
mod rest;
mod rules;
mod sandbox;
mod server;
mod service;
mod settings;
mod state;
mod xml;

pub use self::calls::Call;
pub use self::clock::{Clock, Moment};
pub use self::endpoint::{Cut, Endpoint, Request, Response};
pub use self::faults::{Effect, Fault, Faults, Meddling, Plan, When};
pub use self::meddle::Meddled;
pub use self::parts::{Order, Part, PartError, PartSettings, Parts, supervise};
pub use self::proxy::{Proxy, ProxyError, read_plan};
pub use self::report::{Resource, World};
pub use self::sandbox::{Builder, Sandbox, Snapshot};
pub use self::server::{bind, serve, serve_proxy};
pub use self::settings::{DEFAULT_ACCOUNT, DEFAULT_REGION, Quotas};
pub use self::state::{Info, StateError, StateFolder};
