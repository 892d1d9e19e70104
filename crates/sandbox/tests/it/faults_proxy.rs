//! Faults in front of an endpoint that is not the sandbox's own: here another sandbox plays it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Region};
use serde_json::json;
use switchback_sandbox::{Effect, Fault, Plan, Proxy, Sandbox, When, bind, serve};

use crate::support::{Aws, credentials, refused_with};

/// A client that calls this endpoint.
fn client(endpoint: &str) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder().endpoint_url(endpoint).retry_config(RetryConfig::disabled());
    let config = config.behavior_version(BehaviorVersion::latest()).region(Region::from_static("us-east-1"));
    aws_sdk_ec2::Client::from_conf(config.credentials_provider(credentials("AKIATEST")).build())
}

/// A target that listens, as long as this test runs.
async fn target() -> (Sandbox, String) {
    let sandbox = Sandbox::builder().settle(Duration::ZERO).build();
    let listener = bind(0).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(sandbox.clone(), listener, std::future::pending()));
    (sandbox, endpoint)
}

/// A client that calls the target through the faults, in this process.
fn through(proxy: &Proxy) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder().http_client(proxy.http_client());
    let config = config.behavior_version(BehaviorVersion::latest()).region(Region::from_static("us-east-1"));
    let config = config.credentials_provider(credentials("AKIATEST")).retry_config(RetryConfig::disabled());
    aws_sdk_ec2::Client::from_conf(config.build())
}

async fn vpcs(sandbox: &Sandbox) -> usize {
    sandbox.world().await.counts.get("vpc").copied().unwrap_or(0)
}

#[tokio::test]
async fn what_passes_is_the_targets_and_what_is_spoiled_is_not() {
    let (sandbox, endpoint) = target().await;
    let proxy = Proxy::new(&endpoint).unwrap();
    let ec2 = through(&proxy);
    let create = || ec2.create_vpc().cidr_block("10.0.0.0/16").send();
    let made = create().await.unwrap().vpc.unwrap();
    assert!(sandbox.world().await.get(made.vpc_id().unwrap()).is_some());
    // Refusals of the target come through, too.
    refused_with(ec2.delete_vpc().vpc_id("x").send().await, 400, "InvalidVpcID.Malformed");
    let error = |when| Effect::Error { status: 500, code: "InternalError".into(), message: None, when };
    let mut there = 1;
    for (effect, effects) in [
        (error(When::Before), 0),
        (error(When::After), 1),
        (Effect::Throttle, 0),
        (Effect::Deny, 0),
        (Effect::Refuse, 0),
        (Effect::RequestLost { wait_ms: 0 }, 0),
        (Effect::ReplyLost { wait_ms: 0 }, 1),
        (Effect::Expire, 0),
    ] {
        proxy.set(Plan { faults: vec![Fault::new("CreateVpc", effect.clone())], ..Plan::default() }).unwrap();
        create().await.unwrap_err();
        there += effects;
        assert_eq!(vpcs(&sandbox).await, there, "{effect:?}");
    }
    let calls = proxy.faults().calls();
    assert_eq!((calls.len(), calls[1].code.as_deref()), (10, Some("InvalidVpcID.Malformed")));
    // The slow one waits for the proxy's clock; the late one is the target's once it lands.
    proxy.set(Plan { faults: vec![Fault::new("CreateVpc", Effect::Slow { ms: 1 })], ..Plan::default() }).unwrap();
    create().await.unwrap();
    let late = Effect::Late { delay_ms: 3_600_000, wait_ms: 0 };
    proxy.set(Plan { faults: vec![Fault::new("CreateVpc", late)], ..Plan::default() }).unwrap();
    create().await.unwrap_err();
    assert_eq!(vpcs(&sandbox).await, there + 1);
    proxy.clock().advance(Duration::from_secs(3600));
    proxy.land().await;
    assert_eq!(vpcs(&sandbox).await, there + 2);
}

#[tokio::test]
async fn what_needs_the_rules_is_refused() {
    let sandbox = Sandbox::builder().build();
    let proxy = Proxy::around(sandbox.endpoint(), sandbox.clock());
    let ec2 = through(&proxy);
    for effect in [Effect::Lag { ms: 1 }, Effect::Stuck] {
        let plan = Plan { faults: vec![Fault::new("*", effect)], ..Plan::default() };
        assert!(proxy.set(plan.clone()).unwrap_err().to_string().contains("needs the rules of the sandbox"));
        proxy.faults().set(plan);
        let answer = ec2.create_vpc().cidr_block("10.0.0.0/16").send().await;
        refused_with(answer, 501, "NotImplemented");
    }
    assert_eq!(vpcs(&sandbox).await, 0);
}

#[tokio::test]
async fn a_target_that_is_not_there_refuses() {
    let free = bind(0).await.unwrap().local_addr().unwrap();
    let proxy = Proxy::new(&format!("http://{free}")).unwrap();
    let error = through(&proxy).describe_vpcs().send().await.unwrap_err();
    assert!(error.as_service_error().is_none(), "{error:?}");
    assert_eq!(proxy.faults().calls()[0].status, None);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(target: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchback-sandbox"));
    command.args(["faults", "--target", target]).stderr(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subcommand_serves_it_with_a_plan() {
    let (sandbox, endpoint) = target().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let plan = json!({"faults": [{"action": "CreateVpc", "effect": {"kind": "reply_lost"}}]});
    std::fs::write(&file, plan.to_string()).unwrap();
    let with_plan = ["--plan".as_ref(), file.as_os_str(), "--seed".as_ref(), "7".as_ref()];
    let mut child = command(&endpoint).args(with_plan).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _running = Running(child);
    let at = line.trim();

    let ec2 = client(at);
    ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap_err();
    ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap();
    assert_eq!(vpcs(&sandbox).await, 2);

    let admin = |method: &'static str, route: &'static str, body: serde_json::Value| {
        let at = at.trim_start_matches("http://").to_owned();
        let asked = tokio::task::spawn_blocking(move || crate::support::admin(&at, method, route, &body));
        async move { asked.await.unwrap() }
    };
    let none = serde_json::Value::Null;
    let (_, health) = admin("GET", "health", none.clone()).await;
    assert_eq!(health["target"], endpoint.as_str());
    let (_, held) = admin("GET", "faults", none.clone()).await;
    assert_eq!((&held["plan"]["seed"], &held["still_to_land"]), (&json!(7), &json!(0)));
    let (_, calls) = admin("GET", "calls", none.clone()).await;
    assert_eq!((&calls["counts"], &calls["calls"][0]["fault"]), (&json!({"CreateVpc": 2}), &json!("reply_lost")));
    let (status, said) =
        admin("POST", "faults", json!({"faults": [{"action": "*", "effect": {"kind": "stuck"}}]})).await;
    assert_eq!((status, said["error"].as_str().unwrap().contains("`stuck`")), (400, true));
    assert_eq!(admin("GET", "world", none.clone()).await.0, 404);
    assert_eq!(admin("POST", "reset", none.clone()).await.0, 200);
    assert_eq!(vpcs(&sandbox).await, 2, "the target is not ours to reset");
}

#[test]
fn bad_arguments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, r#"{"faults": [{"action": "*", "effect": {"kind": "lag", "ms": 1}}]}"#).unwrap();
    let file = file.to_string_lossy().into_owned();
    let said = |target: &str, more: &[&str]| {
        let output = command(target).args(more).stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said("https://127.0.0.1:1", &[]).contains("it has to start with `http://`"));
    assert!(said("http://127.0.0.1:1", &["--plan", &file]).contains("the fault `lag` cannot be had"));
    assert!(said("http://127.0.0.1:1", &["--plan", "/nothing"]).contains("could not read the plan `/nothing`"));
    assert!(said("http://127.0.0.1:1", &["--seed", "1"]).contains("--plan"));
}

#[tokio::test]
async fn calls_in_json_are_known_by_their_target() {
    let sandbox = Sandbox::builder().build();
    let aws = Aws::of(sandbox.clone(), credentials("AKIATEST"), "us-east-1");
    aws.ecs.list_clusters().send().await.unwrap();
    let proxy = Proxy::around(sandbox.endpoint(), sandbox.clock());
    // A service that the sandbox has never heard of.
    let request = http::Request::builder().uri("http://127.0.0.1:1/").header("x-amz-target", "Other_1.DoIt");
    let scope = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/other/aws4_request, Signature=0";
    let request = request.header("authorization", scope).body(bytes::Bytes::new()).unwrap();
    let answer = proxy.endpoint().call(request).await.unwrap();
    assert_eq!(answer.status(), 501);
    assert_eq!(proxy.faults().calls()[0].action, "DoIt");
}
