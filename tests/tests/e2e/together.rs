//! Two processes that start at the same moment on the same run: one holds it, the other is told so,
//! and nothing is made twice. And two runs of one runbook: neither takes what the other made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Operator, Said, mistersmith, runbook};

/// How often two start together, in each test.
const ROUNDS: usize = 20;

pub const SMALL: &str = r#"
runbook: small
version: 1
target:
  aws: { region: us-east-1, account: "123456789012" }
phases:
  - name: only
    steps:
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16 }
      - id: subnet
        op: aws.ec2.subnet
        for_each: { 1a: 10.0.1.0/24, 1b: 10.0.2.0/24 }
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: "${each.value}", availability_zone: "us-east-${each.key}" }
      - id: group
        op: aws.ec2.security_group
        with: { vpc_id: "${vpc.vpc_id}", group_name: web, description: x }
      - id: logs
        op: aws.logs.log_group
        with: { log_group_name: /small }
"#;

/// What the small runbook makes, once each round.
const MAKES: [(&str, u64); 4] =
    [("CreateVpc", 1), ("CreateSubnet", 2), ("CreateSecurityGroup", 1), ("CreateLogGroup", 1)];

struct Pair {
    operator: Operator,
    path: PathBuf,
    start: Value,
    done: Value,
}

impl Pair {
    fn new() -> Self {
        let operator = Operator::with_sandbox();
        let path = runbook(operator.state.path(), SMALL);
        let start = operator.nameless();
        operator.apply(&path).exits(0);
        let done = operator.nameless();
        operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
        Self { operator, path, start, done }
    }

    /// A run that has made the VPC and was asked to stop there.
    fn half(&self) {
        self.operator
            .run(&["apply", &self.path.to_string_lossy(), "--sandbox", "--auto-approve", "--to", "vpc"])
            .exits(0);
    }
}

fn start(operator: &Operator, args: &[&str]) -> Child {
    operator.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Both at once, and what each said.
fn together(operator: &Operator, left: &[&str], right: &[&str]) -> [Said; 2] {
    let children = [start(operator, left), start(operator, right)];
    children.map(|child| Said::new(child.wait_with_output().expect("it ends")))
}

/// How many processes have executed the newest run: who is refused leaves no trace.
fn executors(operator: &Operator) -> usize {
    let log = operator.run(&["--json", "log", "--all"]).exits(0);
    log.out.lines().filter(|line| line.contains(r#""ExecutorStarted""#)).count()
}

/// How often each call had an effect.
fn calls(operator: &Operator) -> BTreeMap<String, u64> {
    let seen: Value = serde_json::from_str(&operator.admin("GET", "calls", "")).unwrap();
    let mut counts = BTreeMap::new();
    for call in seen["calls"].as_array().unwrap().iter().filter(|call| call["status"] == 200) {
        *counts.entry(call["action"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// Each thing was made as often as there were rounds, and in the run before them.
fn made_once_a_round(operator: &Operator) {
    let calls = calls(operator);
    for (call, times) in MAKES {
        assert_eq!(calls[call], times * (ROUNDS as u64 + 1), "{call}");
    }
}

#[test]
fn two_that_resume() {
    let pair = Pair::new();
    let mut held = 0;
    for round in 0..ROUNDS {
        pair.half();
        let said = together(&pair.operator, &["resume"], &["resume"]);
        let mut codes = said.each_ref().map(|s| s.code);
        codes.sort_unstable();
        // The second may come when the first has finished: then there is nothing to do.
        assert!(codes == [0, 6] || codes == [0, 0], "round {round}: {said:?}");
        held += usize::from(codes == [0, 6]);
        assert_eq!(executors(&pair.operator), 2, "round {round}: the apply and one that resumed");
        assert_eq!(pair.operator.nameless(), pair.done, "round {round}");
        pair.operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
        assert_eq!(pair.operator.nameless(), pair.start, "round {round}");
    }
    assert!(held > 0, "they never met");
    made_once_a_round(&pair.operator);
}

#[test]
fn one_that_resumes_and_one_that_unwinds() {
    let pair = Pair::new();
    let mut held = 0;
    for round in 0..ROUNDS {
        pair.half();
        let unwind = ["unwind", "--all", "--auto-approve"];
        let (resumed, unwound) = if round % 2 == 0 {
            let [resumed, unwound] = together(&pair.operator, &["resume"], &unwind);
            (resumed, unwound)
        } else {
            let [unwound, resumed] = together(&pair.operator, &unwind, &["resume"]);
            (resumed, unwound)
        };
        match (resumed.code, unwound.code) {
            (0, 6) => assert_eq!(pair.operator.nameless(), pair.done, "round {round}"),
            // Held by the other, or too late: the run has been unwound, or is being.
            (0 | 1 | 6, 0) => assert_eq!(pair.operator.nameless(), pair.start, "round {round}"),
            _ => panic!("round {round}: {resumed:?} {unwound:?}"),
        }
        held += usize::from(resumed.code == 6 || unwound.code == 6);
        let worked = usize::from(resumed.code == 0) + usize::from(unwound.code == 0);
        assert_eq!(executors(&pair.operator), 1 + worked, "round {round}: {resumed:?} {unwound:?}");
        if unwound.code == 6 {
            pair.operator.run(&unwind).exits(0);
        }
        assert_eq!(pair.operator.nameless(), pair.start, "round {round}");
    }
    assert!(held > 0, "they never met");
    let calls = calls(&pair.operator);
    assert_eq!(calls["CreateVpc"], ROUNDS as u64 + 1);
    for (call, times) in MAKES {
        assert!(calls[call] <= times * (ROUNDS as u64 + 1), "{call}");
    }
}

/// Names that are taken are foreign to whoever comes second: refused, or gone back from. Where each was the first at
/// something, both go back.
#[test]
fn two_that_apply_the_same_runbook() {
    let path = mistersmith();
    let apply = ["apply", &path.to_string_lossy(), "--sandbox", "--auto-approve"];
    let operator = Operator::with_sandbox();
    let start = operator.nameless();
    operator.run(&apply).exits(0);
    let done = operator.nameless();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    for round in 0..ROUNDS / 3 {
        let said = together(&operator, &apply, &apply);
        let mut codes = said.each_ref().map(|s| s.code);
        codes.sort_unstable();
        match codes {
            [0, 1 | 3] => {
                assert_eq!(operator.nameless(), done, "round {round}: {said:?}");
                operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
            }
            [3, 3] | [1, 3] => {}
            _ => panic!("round {round}: {}\n{}", said[0].all(), said[1].all()),
        }
        assert_eq!(operator.nameless(), start, "round {round}: {said:?}");
    }
}
