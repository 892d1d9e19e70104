//! The binary: its folder, its admin routes, its signals, and the AWS CLI against it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use switchback_sandbox::Info;
use tempfile::TempDir;

struct Running {
    child: Child,
    info: Info,
    folder: TempDir,
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchback-sandbox"));
    command.args(["serve", "--state"]).arg(folder).args(["--settle-ms", "0"]).stderr(Stdio::null());
    command
}

fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let info: Info = serde_json::from_slice(&std::fs::read(folder.path().join("sandbox.json")).unwrap()).unwrap();
    assert_eq!(line.trim(), info.endpoint);
    Running { child, info, folder }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn send(&self, request: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.info.endpoint.trim_start_matches("http://")).unwrap();
        let length = body.len();
        write!(
            stream,
            "{request} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn admin(&self, request: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(request, "", &body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// An EC2 call; an empty answer is a connection that was closed.
    fn ec2(&self, form: &str) -> String {
        let scope = "authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/ec2/aws4_request, Signature=0\r\n";
        self.send("POST /", scope, form)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

#[test]
fn it_says_where_it_listens_and_leaves_nothing_behind() {
    for signal in ["-TERM", "-INT"] {
        let mut running = start();
        assert_eq!(running.info.pid, running.child.id());
        assert_eq!((running.info.version, running.info.quiet_ms), (1, 200));
        let (status, health) = running.admin("GET /_switchback/health", &Value::Null);
        assert_eq!((status, health["account"].as_str()), (200, Some("123456789012")));
        running.signal(signal);
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
        assert!(!running.folder.path().join("sandbox.json").exists());
    }
}

#[test]
fn two_do_not_run_on_one_folder() {
    let running = start();
    let second = command(running.folder.path()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another sandbox is running on"), "{said}");
    let (status, _) = running.admin("GET /_switchback/health", &Value::Null);
    assert_eq!(status, 200);
}

#[test]
fn one_that_was_killed_does_not_block_the_next() {
    let mut running = start();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(running.folder.path().join("sandbox.json").exists());
    let mut next = command(running.folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(next.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("http://127.0.0.1:"));
    next.kill().unwrap();
    next.wait().unwrap();
}

#[test]
fn a_hangup_and_a_closed_pipe_do_not_end_it() {
    let running = start();
    running.signal("-HUP");
    // Its stdout has been closed since `start`.
    let (status, _) = running.admin("GET /_switchback/health", &Value::Null);
    assert_eq!(status, 200);
}

#[test]
fn the_admin_routes_move_it() {
    let running = start();
    assert!(running.ec2("Action=CreateVpc&CidrBlock=10.0.0.0%2F16").contains("<vpcId>vpc-00000001</vpcId>"));
    let (_, world) = running.admin("GET /_switchback/world", &Value::Null);
    assert_eq!((&world["counts"], &world["total"]), (&json!({"vpc": 1}), &json!(1)));

    let plan = json!({"faults": [
        {"action": "CreateVpc", "effect": {"kind": "reply_lost"}},
        {"action": "CreateVpc", "nth": 2, "effect": {"kind": "late", "delay_ms": 3_600_000}},
    ]});
    assert_eq!(running.admin("POST /_switchback/faults", &plan).0, 200);
    assert_eq!(running.ec2("Action=CreateVpc&CidrBlock=10.0.0.0%2F16"), "", "closed without an answer");
    assert_eq!(running.ec2("Action=CreateVpc&CidrBlock=10.0.0.0%2F16"), "");
    let (_, faults) = running.admin("GET /_switchback/faults", &Value::Null);
    assert_eq!(faults["still_to_land"], 1);
    let count = || running.admin("GET /_switchback/world", &Value::Null).1["counts"]["vpc"].clone();
    assert_eq!(count(), 2);
    assert_eq!(running.admin("POST /_switchback/clock", &json!({"advance_ms": 3_600_000})).0, 200);
    assert_eq!(count(), 3);
    let (_, calls) = running.admin("GET /_switchback/calls", &Value::Null);
    assert_eq!(calls["counts"], json!({"CreateVpc": 3}));
    assert_eq!(running.admin("DELETE /_switchback/faults", &Value::Null).0, 200);

    assert_eq!(running.admin("POST /_switchback/faults", &json!({"fault": []})).0, 400);
    assert_eq!(running.admin("POST /_switchback/clock", &json!({})).0, 400);
    assert_eq!(running.admin("GET /_switchback/nothing", &Value::Null).0, 404);
    assert_eq!(running.admin("DELETE /_switchback/world", &Value::Null).0, 405);

    assert_eq!(running.admin("POST /_switchback/reset", &Value::Null).0, 200);
    let (_, world) = running.admin("GET /_switchback/world", &Value::Null);
    assert_eq!(world["resources"], json!([]));
}

#[test]
fn too_much_is_refused() {
    let running = start();
    let answer = running.send("POST /_switchback/faults", "", &"x".repeat(5 * 1024 * 1024));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn the_aws_cli_works_against_it() {
    let running = start();
    let aws = |arguments: &[&str]| {
        let mut command = Command::new("aws");
        command.args(["--endpoint-url", &running.info.endpoint, "--output", "json"]).args(arguments);
        let command = command
            .env("AWS_ACCESS_KEY_ID", &running.info.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &running.info.secret_access_key)
            .env("AWS_DEFAULT_REGION", &running.info.region)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_PAGER", "")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN");
        command.output()
    };
    if aws(&["--version"]).is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no `aws` on the PATH");
        return;
    }
    let run = |arguments: &[&str]| {
        let output = aws(arguments).unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {err}");
        serde_json::from_str::<Value>(&out).unwrap_or_default()
    };
    assert_eq!(run(&["sts", "get-caller-identity"])["Account"], "123456789012");
    let tags = "ResourceType=vpc,Tags=[{Key=Name,Value=a b+c}]";
    let made = run(&["ec2", "create-vpc", "--cidr-block", "10.0.0.0/16", "--tag-specifications", tags]);
    let vpc = made["Vpc"]["VpcId"].as_str().unwrap().to_owned();
    assert_eq!(made["Vpc"]["Tags"], json!([{"Key": "Name", "Value": "a b+c"}]));
    let group = ["ec2", "create-security-group", "--group-name", "web", "--description", "the web", "--vpc-id", &vpc];
    let group = run(&group)["GroupId"].as_str().unwrap().to_owned();
    let allow = ["--group-id", &group, "--protocol", "tcp", "--port", "443", "--cidr", "0.0.0.0/0"];
    let allowed = run(&[&["ec2", "authorize-security-group-ingress"], &allow[..]].concat());
    assert_eq!(allowed["SecurityGroupRules"][0]["CidrIpv4"], "0.0.0.0/0");
    let held = aws(&["ec2", "delete-vpc", "--vpc-id", &vpc]).unwrap();
    assert!(String::from_utf8_lossy(&held.stderr).contains("(DependencyViolation)"));
    run(&["ec2", "delete-security-group", "--group-id", &group]);
    run(&["ec2", "delete-vpc", "--vpc-id", &vpc]);
    assert_eq!(run(&["ec2", "describe-vpcs"])["Vpcs"], json!([]));

    // The other protocols, and another region.
    let there = ["--region", "eu-west-1", "ecs", "create-cluster", "--cluster-name", "main"];
    assert_eq!(run(&there)["cluster"]["clusterArn"], "arn:aws:ecs:eu-west-1:123456789012:cluster/main");
    assert_eq!(run(&["ecs", "list-clusters"])["clusterArns"], json!([]));
    let role = ["iam", "create-role", "--role-name", "app", "--assume-role-policy-document", "{}"];
    assert_eq!(run(&role)["Role"]["Arn"], "arn:aws:iam::123456789012:role/app");
    assert_eq!(run(&["rds", "describe-db-clusters"])["DBClusters"], json!([]));
    let absent = aws(&["secretsmanager", "describe-secret", "--secret-id", "nothing"]).unwrap();
    assert!(String::from_utf8_lossy(&absent.stderr).contains("(ResourceNotFoundException)"));
}
