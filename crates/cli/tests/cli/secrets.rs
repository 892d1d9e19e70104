//! Secret inputs, with the operation of `examples/own_operation.rs`: where they come from, and that no
//! byte of a value is left anywhere.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use crate::place::{Place, Ran, start_until};

/// A value that stands nowhere else.
const CANARY: &str = "c4n4ry-Zq9-correct-horse";

const ACCOUNTS: &str = "\
runbook: accounts
version: 1
inputs:
  password: { type: secret, description: of both }
policy: { on_failure: pause }
phases:
  - name: all
    steps:
      - { id: ana, op: example.account, with: { file: ana, password: \"${inputs.password}\" } }
      - { id: bob, op: example.account, with: { file: bob, password: \"${inputs.password}\" }, needs: [ana] }
";

fn place() -> Place {
    let place = Place::new();
    place.write("accounts.yaml", ACCOUNTS);
    place
}

/// The example's `switchback` in that place.
fn command(place: &Place, line: &str) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_switchback")).parent().unwrap().join("examples/own_operation");
    assert!(built.exists(), "{} is not built", built.display());
    let mut command = Command::new(built);
    command.args(line.split_whitespace()).current_dir(place.path(".")).env_clear().stdin(Stdio::null());
    command
}

fn run(place: &Place, line: &str, env: &[(&str, &str)]) -> Ran {
    command(place, line).envs(env.iter().copied()).output().unwrap().into()
}

fn apply(place: &Place, env: &[(&str, &str)]) -> Ran {
    run(place, "apply accounts.yaml --auto-approve", env)
}

const GIVEN: [(&str, &str); 1] = [("SWITCHBACK_INPUT_PASSWORD", CANARY)];

/// Every file of the place, with a canary in none of them: the journal with its free pages, its log
/// and its shared memory, and what commands wrote.
fn no_canary(place: &Place) {
    fn look(folder: &Path, seen: &mut usize) {
        for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                look(&entry, seen);
            } else {
                let bytes = fs::read(&entry).unwrap();
                let found = bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes());
                assert!(!found, "{} holds the value", entry.display());
                *seen += 1;
            }
        }
    }
    let mut seen = 0;
    look(&place.path("."), &mut seen);
    assert!(seen > 0, "there is something to look at");
}

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn no_byte_of_a_value_is_left_anywhere() {
    let place = place();
    let env = [GIVEN[0], ("SWITCHBACK_LOG", "trace,hyper=trace,aws_smithy_runtime=trace")];
    for line in [
        "plan accounts.yaml --offline",
        "plan accounts.yaml --offline -o p.json --json",
        "apply p.json --auto-approve -vv --to ana",
        "status",
        "resume --json",
        "log --all --calls",
        "log --all --json",
        "status --json",
        "verify",
        "unwind --all --auto-approve --json",
        "runs",
    ] {
        let ran = run(&place, line, &env);
        assert_eq!(ran.code, Some(0), "{line}: {ran}");
        assert!(!said(&ran).contains(CANARY), "{line} says it: {ran}");
        no_canary(&place);
    }
    let log = run(&place, "log --all", &[]).stdout;
    let started = log.lines().find(|l| l.contains("run started")).unwrap();
    assert!(started.contains("; password from SWITCHBACK_INPUT_PASSWORD ("), "{started}");
    let json = run(&place, "log --all --json", &[]).json();
    let intent = json.iter().find(|l| l["data"]["kind"] == "CreateStarted").unwrap();
    let password = &intent["data"]["payload"]["params"]["password"];
    assert_eq!(password["source"], "SWITCHBACK_INPUT_PASSWORD");
    assert_eq!(password["fingerprint"].as_str().unwrap().len(), 8, "people see eight digits");
}

#[test]
fn a_run_goes_on_with_the_value_that_it_began_with() {
    let place = place();
    let ran = run(&place, "apply accounts.yaml --auto-approve --to ana", &GIVEN);
    assert_eq!(ran.code, Some(0), "{ran}");
    let before = run(&place, "log --all", &[]).stdout;
    assert_snapshot!(run(&place, "resume", &[("SWITCHBACK_INPUT_PASSWORD", "another one")]), @r"
    exit 1
    --- stderr
    error: the secret `password` from SWITCHBACK_INPUT_PASSWORD is not the value that the run began with (from SWITCHBACK_INPUT_PASSWORD)
    hint: nothing was done; give the value that the run began with, or go back and begin again
    ");
    assert_snapshot!(run(&place, "resume", &[]), @r"
    exit 4
    --- stderr
    error: nobody says what the secret `password` is: nothing was done
    hint: set SWITCHBACK_INPUT_PASSWORD to the value, or SWITCHBACK_INPUT_PASSWORD_FILE to the path of a file; or give --secret-file password=PATH; or run it on a terminal, which asks
    ");
    assert_eq!(run(&place, "log --all", &[]).stdout, before, "nothing was done, not even on record");
    place.write("pw", format!("{CANARY}\n"));
    let ran = run(&place, "resume --secret-file password=pw", &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    fs::remove_file(place.path("pw")).unwrap();
    assert_eq!(place.names("."), ["accounts.yaml", "ana", "bob", "state"]);
    no_canary(&place);
    // What is done and what goes back asks for nothing.
    for line in ["resume", "verify", "unwind --all --auto-approve"] {
        let ran = run(&place, line, &[]);
        assert_eq!(ran.code, Some(0), "{line}: {ran}");
    }
    assert_eq!(place.names("."), ["accounts.yaml", "state"]);
}

#[test]
fn a_step_that_is_done_needs_no_secret() {
    let place = place();
    let checkpoint = "      - { id: end, op: control.checkpoint, needs: [bob] }\n";
    place.write("accounts.yaml", format!("{ACCOUNTS}{checkpoint}"));
    let ran = run(&place, "apply accounts.yaml --auto-approve --to bob", &GIVEN);
    assert_eq!(ran.code, Some(0), "{ran}");
    let ran = run(&place, "resume", &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn the_first_place_that_says_something_is_asked() {
    let place = place();
    let from = "password: { type: secret, from: { file: declared } }";
    place.write("accounts.yaml", ACCOUNTS.replace("password: { type: secret, description: of both }", from));
    for (name, value) in [("declared", "1"), ("named", "22"), ("flag", "333")] {
        place.write(name, value);
    }
    let (value, file) = (("SWITCHBACK_INPUT_PASSWORD", "4444"), ("SWITCHBACK_INPUT_PASSWORD_FILE", "named"));
    let flag = "--secret-file password=flag";
    for (line, env, from, length) in [
        ("", &[][..], "the file declared (`from` in the runbook)", "1"),
        ("", &[file][..], "the file named (SWITCHBACK_INPUT_PASSWORD_FILE)", "2"),
        (flag, &[file][..], "the file flag (--secret-file)", "3"),
        (flag, &[file, value][..], "SWITCHBACK_INPUT_PASSWORD", "4"),
    ] {
        let plan = run(&place, &format!("plan accounts.yaml --offline --json {line}"), env).json();
        assert_eq!(plan[0]["data"]["secrets"][0]["from"], from);
        let ran = run(&place, &format!("apply accounts.yaml --auto-approve {line}"), env);
        assert_eq!(ran.code, Some(0), "{ran}");
        assert_eq!(fs::read_to_string(place.path("ana")).unwrap().lines().nth(1), Some(length));
        assert_eq!(run(&place, "unwind --all --auto-approve", &[]).code, Some(0));
    }
}

#[test]
fn what_is_not_there_is_said_before_anything_is_done() {
    let place = place();
    assert_snapshot!(apply(&place, &[]), @r"
    exit 1
    --- stderr
    error: nobody says what the secret `password` is: nothing was done
    hint: set SWITCHBACK_INPUT_PASSWORD to the value, or SWITCHBACK_INPUT_PASSWORD_FILE to the path of a file; or give --secret-file password=PATH; or write `from:` in the runbook; or run it on a terminal, which asks
    ");
    assert_snapshot!(apply(&place, &[("SWITCHBACK_INPUT_PASSWORD", "")]), @r"
    exit 1
    --- stderr
    error: the secret `password` from SWITCHBACK_INPUT_PASSWORD is empty: nothing was done
    ");
    place.write("empty", "\n");
    assert_snapshot!(apply(&place, &[("SWITCHBACK_INPUT_PASSWORD_FILE", "empty")]), @r"
    exit 1
    --- stderr
    error: the secret `password` from `empty` is empty: nothing was done
    ");
    assert_snapshot!(apply(&place, &[("SWITCHBACK_INPUT_PASSWORD_FILE", "nowhere")]), @r"
    exit 1
    --- stderr
    error: failed to read `nowhere`
    caused by: No such file or directory (os error 2)
    ");
    assert_snapshot!(run(&place, "apply accounts.yaml --auto-approve --secret-file pasword=empty", &[]), @r"
    exit 2
    --- stderr
    error: no step of the plan uses a secret input `pasword`
    ");
    let given = run(&place, &format!("apply accounts.yaml --auto-approve --input password={CANARY}"), &[]);
    assert!(!said(&given).contains(CANARY), "{given}");
    assert_eq!(given.code, Some(1), "{given}");
    assert_eq!(place.names("."), ["accounts.yaml", "empty"], "no run was begun");
}

#[test]
fn the_plan_lists_its_secrets() {
    let place = place();
    let plan = run(&place, "plan accounts.yaml --offline", &[]);
    let at = plan.stdout.find("  secrets (").unwrap();
    let shown: String = plan.stdout[at..].lines().take(2).map(|l| format!("{l}\n")).collect();
    assert_snapshot!(shown, @r"
    secrets (asked for when the run begins, never stored; the way back needs none)
      password  from nowhere yet: set SWITCHBACK_INPUT_PASSWORD  of both
    ");
    assert_eq!(run(&place, "validate accounts.yaml", &[]).code, Some(0), "and neither asks for one");
}

#[test]
fn the_memory_of_a_run_is_its_own_and_it_can_still_be_taken_over() {
    let place = place();
    place.write("accounts.yaml", ACCOUNTS.replace("file: ana,", "file: ana, until: go,"));
    let mut apply = command(&place, "apply accounts.yaml --auto-approve --json");
    apply.envs(GIVEN);
    // It waits in `create`, with the secret in its memory.
    let (child, stdout) = start_until(apply, "CreateStarted");
    let proc = |name: &str| fs::read(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
    let limits = String::from_utf8(proc("limits")).unwrap();
    let core: Vec<_> =
        limits.lines().find(|l| l.starts_with("Max core file size")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    assert!(!String::from_utf8_lossy(&proc("cmdline")).contains(CANARY));
    no_canary(&place);
    let ran = run(&place, "takeover --reason test", &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    drop(stdout);
    let ended: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(4), "{ended}");
    place.write("go", "");
    let ran = run(&place, "resume", &GIVEN);
    assert_eq!(ran.code, Some(0), "{ran}");
    no_canary(&place);
}

/// A stand-in for AWS that knows who calls and one secret; it counts what it was asked.
struct Aws {
    url: String,
    /// The version that is current now.
    current: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Aws {
    /// Versions `v0`, `v1` ... of the secret have these values.
    fn with_versions(values: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let aws = Self { url, current: Arc::default(), asked: Arc::default() };
        let (current, asked) = (aws.current.clone(), aws.asked.clone());
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (current, asked) = (current.clone(), asked.clone());
                std::thread::spawn(move || serve(stream.unwrap(), values, &current, &asked));
            }
        });
        aws
    }
}

fn serve(stream: TcpStream, values: &[&str], current: &AtomicUsize, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        if line.is_empty() {
            return;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let reply = if body.contains("GetCallerIdentity") {
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ana</Arn>\
             <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
                .to_owned()
        } else {
            let old = body.split_once(r#""VersionId":"v"#).and_then(|(_, rest)| rest.get(..1)?.parse().ok());
            let version: usize = old.unwrap_or_else(|| current.load(Ordering::SeqCst));
            format!(
                r#"{{"ARN":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db","VersionId":"v{version}","SecretString":"{{\"pw\":\"{}\"}}"}}"#,
                values[version]
            )
        };
        asked.lock().unwrap().push(body);
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{reply}", reply.len()).unwrap();
    }
}

const KEYS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AKIA"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("SWITCHBACK_LOG", "trace,hyper=trace,aws_smithy_runtime=trace,aws_smithy_runtime::client::orchestrator=trace"),
];

fn managed(aws: &Aws, account: &str) -> String {
    ACCOUNTS
        .replace(
            "inputs:",
            &format!(
                "target: {{ aws: {{ region: us-east-1, account: \"{account}\", endpoint_url: \"{}\" }} }}\ninputs:",
                aws.url
            ),
        )
        .replace("description: of both", "from: { secrets_manager: { secret_id: db, json_key: pw } }")
}

#[test]
fn a_run_goes_on_with_the_version_that_it_began_with() {
    let aws = Aws::with_versions(&[CANARY, "c4n4ry-rotated"]);
    let place = place();
    place.write("accounts.yaml", managed(&aws, "123456789012"));
    for line in ["apply accounts.yaml --auto-approve --to ana", "resume -vv"] {
        let ran = run(&place, line, &KEYS);
        assert_eq!(ran.code, Some(0), "{line}: {ran}");
        assert!(!said(&ran).contains("c4n4ry"), "{line} says it: {ran}");
        assert!(!ran.stderr.contains("transmitting request"), "the SDK prints what it sends: {ran}");
        aws.current.store(1, Ordering::SeqCst);
    }
    assert_eq!(fs::read_to_string(place.path("bob")).unwrap().lines().nth(1), Some(&*CANARY.len().to_string()));
    no_canary(&place);
    let log = run(&place, "log --all --calls", &[]).stdout;
    assert!(
        log.contains("password from arn:aws:secretsmanager:us-east-1:123456789012:secret:db, version v0 ("),
        "{log}"
    );
    assert_eq!(log.matches("GetSecretValue: 200").count(), 2, "every call is on record: {log}");
}

#[test]
fn another_account_is_asked_for_no_secret() {
    let aws = Aws::with_versions(&[CANARY]);
    let place = place();
    place.write("accounts.yaml", managed(&aws, "999999999999"));
    let ran = run(&place, "apply accounts.yaml --auto-approve", &KEYS[..3]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("is in account 123456789012, the runbook wants 999999999999"), "{ran}");
    assert_eq!(aws.asked.lock().unwrap().len(), 1, "only who we are");
    assert_eq!(place.names("."), ["accounts.yaml"]);
}
