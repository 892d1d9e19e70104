//! Stands in for the AWS CLI in tests: `ssm start-session` with a port forward to a remote host, without AWS.
//!
//! `forward ssm start-session --target INSTANCE --document-name NAME --parameters JSON`

use std::io::Write as _;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ssm, start, _, instance, _, document, _, parameters] = arguments.as_slice() else { panic!("{arguments:?}") };
    assert_eq!((ssm.as_str(), start.as_str()), ("ssm", "start-session"));
    assert_eq!(document, "AWS-StartPortForwardingSessionToRemoteHost");
    let mut stderr = std::io::stderr();
    if instance == "i-0gone" {
        let _ = writeln!(stderr, "\nAn error occurred (TargetNotConnected): i-0gone is not connected.");
        return;
    }
    let parameters: serde_json::Value = serde_json::from_str(parameters).expect("JSON");
    let of = |name: &str| parameters[name][0].as_str().expect("a text in a list").to_owned();
    let listener =
        TcpListener::bind(("127.0.0.1", of("localPortNumber").parse().expect("a port"))).await.expect("free");
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "Port {} opened for sessionId test.\nWaiting for connections...", of("localPortNumber"));
    let _ = stdout.flush();
    // The host is one that only the instance can reach: here everything is on this machine.
    let port: u16 = of("portNumber").parse().expect("a port");
    while let Ok((mut here, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut there) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
}
