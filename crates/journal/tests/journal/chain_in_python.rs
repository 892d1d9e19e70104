//! An auditor's check of the hash chain that shares no code with this crate: Python's `sqlite3` and
//! `hashlib`, and the crate's documentation.

use std::process::{Command, Stdio};

use switchback_engine::journal::Journal as _;
use switchback_model::record::Completed;

use crate::support::{State, draft, run_id, skipped, step_records};

const AUDITOR: &str = r#"
import hashlib, sqlite3, sys
def n(x):
    b = str(x).encode()
    return str(len(b)).encode() + b":" + b + b","
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
for (run, uuid, plan, runbook, endpoint, created) in db.execute(
        "SELECT id, uuid, plan, runbook, endpoint, created_at FROM runs ORDER BY id").fetchall():
    text, = db.execute("SELECT json FROM plans WHERE hash = ?", [plan]).fetchone()
    assert hashlib.sha256(text.encode()).hexdigest() == plan
    h = hashlib.sha256(b"".join(map(n, ["switchback-run-1", uuid, plan, runbook, endpoint, created]))).digest()
    expected = 1
    for (seq, at, actor, step, generation, direction, kind, payload, stored) in db.execute(
            "SELECT seq, at, (SELECT json FROM actors WHERE id = actor), step, generation, direction, kind, payload,"
            " hash FROM records WHERE run = ? ORDER BY seq", [run]):
        assert seq == expected, (seq, expected)
        fields = ["switchback-record-1", uuid, seq, at, actor, step or "", generation, direction, kind, payload]
        h = hashlib.sha256(h + b"".join(map(n, fields))).digest()
        assert h == stored, "record %d" % seq
        expected += 1
    print(uuid, expected - 1, h.hex())
"#;

#[test]
fn python_computes_the_same_chain() {
    let state = State::new();
    let mut heads = Vec::new();
    for n in 1..=2 {
        let mut journal = state.create(run_id(n));
        journal.append(step_records("vpc")).unwrap();
        journal.append(step_records("schritt-ö[\u{1F600}]")).unwrap();
        journal.set_caller("arn:aws:iam::123456789012:user/ö");
        let last = journal.append(vec![draft(None, Completed {})]).unwrap().remove(0);
        let hash: String = last.hash.iter().map(|b| format!("{b:02x}")).collect();
        heads.push(format!("{} {} {hash}", run_id(n), last.seq));
    }
    let audit = || Command::new("python3").arg("-c").arg(AUDITOR).arg(state.file()).stderr(Stdio::piped()).output();
    let output = match audit() {
        Ok(output) => output,
        Err(e) => {
            skipped(&format!("the cross-check of the hash chain needs python3 ({e})"));
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No module named") || said.contains("unsupported file format") {
        skipped(&format!("this python3 lacks a module, or its SQLite is too old: {said}"));
        return;
    }
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), heads);

    state.tamper("UPDATE records SET payload = replace(payload, 'absent', 'there') WHERE seq = 3 AND run = 2");
    let output = audit().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("record 3"), "the auditor sees it, too");
}
