//! Ports of loopback, for servers of a test's own.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How often it is asked whether something listens by now.
const POLL: Duration = Duration::from_millis(20);

/// A port that is free, for as long as nobody else takes it.
///
/// # Errors
/// When none can be had.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until something listens there.
///
/// # Errors
/// When nothing does for that long.
#[expect(clippy::disallowed_methods, reason = "a real server comes up in real time")]
pub fn wait_for(port: u16, patience: Duration) -> io::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if begun.elapsed() > patience {
            return Err(io::Error::other(format!("nothing listens on port {port} after {} s", patience.as_secs())));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
