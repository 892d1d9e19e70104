//! The same runbook on moto, an independent emulator: no test agrees only with our own rules.
//!
//! What moto 5.2 does not know of this part: it has no states that take time, does not refuse
//! `DeleteVpc` with groups in it, and reads lag behind nothing. Leftovers are counted by direct
//! SDK calls.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::colleague;
use crate::support::{ACCOUNT, Operator, Said, block_on, http, mistersmith, pause};

struct Moto {
    child: Child,
    endpoint: String,
}

impl Moto {
    /// `None`, said loudly, where there is no moto: `cargo xtask test` installs it.
    fn start() -> Option<Self> {
        let server = std::env::var_os("SWITCHBACK_MOTO_SERVER").map(PathBuf::from);
        let Some(server) = server else {
            assert!(std::env::var_os("CI").is_none(), "CI must run `cargo xtask test`, which installs moto");
            eprintln!("NOT TESTED on moto: run `cargo xtask test`, which installs it");
            return None;
        };
        // A free port, for as long as nobody else takes it.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let child = Command::new(server)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_ACCOUNT_ID", ACCOUNT)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "moto does not come up");
            pause(50);
        }
        http(&moto.endpoint, "POST", "/moto-api/reset", "");
        Some(moto)
    }

    /// VPCs, subnets, gateways, groups and rules that are there.
    fn count(&self) -> [usize; 5] {
        let ec2 = colleague::ec2(&self.endpoint);
        block_on(async {
            [
                ec2.describe_vpcs().send().await.expect("vpcs").vpcs().len(),
                ec2.describe_subnets().send().await.expect("subnets").subnets().len(),
                ec2.describe_internet_gateways().send().await.expect("gateways").internet_gateways().len(),
                ec2.describe_security_groups().send().await.expect("groups").security_groups().len(),
                ec2.describe_security_group_rules().send().await.expect("rules").security_group_rules().len(),
            ]
        })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_moto(operator: &Operator, args: &[&str]) -> Said {
    let mut command = operator.command(args);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let said = command.output().expect("switchback starts");
    Said {
        code: said.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&said.stdout).into_owned(),
        err: String::from_utf8_lossy(&said.stderr).into_owned(),
    }
}

#[test]
fn forward_verified_and_back_to_nothing() {
    let Some(moto) = Moto::start() else { return };
    let operator = Operator::alone();
    let before = moto.count();
    let path = mistersmith();
    let account = format!("account={ACCOUNT}");
    let endpoint = ["--endpoint-url", &moto.endpoint];
    let apply = ["apply", &path.to_string_lossy(), "--auto-approve", "--input", &account, endpoint[0], endpoint[1]];
    on_moto(&operator, &apply).exits(0);
    let made = moto.count();
    // A VPC comes with a group of its own.
    assert_eq!([made[0] - before[0], made[1] - before[1], made[2] - before[2], made[3] - before[3]], [1, 2, 1, 3]);
    on_moto(&operator, &["verify"]).exits(0);
    on_moto(&operator, &["unwind", "--to", "vpc", "--auto-approve"]).exits(0);
    on_moto(&operator, &["resume"]).exits(0);
    assert_eq!(moto.count(), made, "the next generation is equal to the first");
    on_moto(&operator, &["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(moto.count(), before, "nothing is left");
}
