//! A journal that cannot be used: exit code 8, no effect, nothing lost.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Operator, mistersmith};

/// A run that is done, whose journal has been closed.
fn applied() -> Operator {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    operator
}

/// The unwind is refused with exit code 8, the world stays, and mending the journal makes all well again.
fn refused_until(operator: &Operator, saying: &str, mend: impl FnOnce()) {
    let world = operator.world();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(8).says(saying);
    operator.run(&["resume"]).exits(8);
    assert_eq!(operator.world(), world, "no effect");
    mend();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0, "nothing was lost");
}

#[test]
fn truncated() {
    let operator = applied();
    let whole = std::fs::read(operator.journal()).unwrap();
    let file = OpenOptions::new().write(true).open(operator.journal()).unwrap();
    file.set_len(whole.len() as u64 / 2).unwrap();
    refused_until(&operator, "journal", || std::fs::write(operator.journal(), &whole).unwrap());
}

#[test]
fn not_a_journal() {
    let operator = applied();
    let whole = std::fs::read(operator.journal()).unwrap();
    std::fs::write(operator.journal(), "this is a text\n".repeat(500)).unwrap();
    refused_until(&operator, "journal", || std::fs::write(operator.journal(), &whole).unwrap());
}

#[test]
fn tampered_with() {
    let operator = applied();
    let whole = std::fs::read(operator.journal()).unwrap();
    {
        let db = rusqlite::Connection::open(operator.journal()).unwrap();
        let triggers: Vec<String> = db
            .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |r| r.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for name in triggers {
            db.execute_batch(&format!("DROP TRIGGER \"{name}\"")).unwrap();
        }
        let changed = db
            .execute("UPDATE records SET payload = replace(payload, 'subnet-', 'subnet_') WHERE kind = 'Created'", [])
            .unwrap();
        assert!(changed > 0);
    }
    refused_until(&operator, "changed", || std::fs::write(operator.journal(), &whole).unwrap());
}

#[test]
fn from_a_newer_version() {
    let operator = applied();
    let version: i64 = {
        let db = rusqlite::Connection::open(operator.journal()).unwrap();
        let version = db.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        db.pragma_update(None, "user_version", 999).unwrap();
        version
    };
    refused_until(&operator, "999", || {
        let db = rusqlite::Connection::open(operator.journal()).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
    });
}

/// The same command, whose files may not grow beyond that many bytes: what a full disk looks like to it.
fn on_a_disk_with(operator: &Operator, bytes: u64, args: &[&str]) -> std::process::Output {
    let command = operator.command(args);
    let mut shell = std::process::Command::new("sh");
    let line = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    shell.arg("-c").arg(line).arg(command.get_program()).args(command.get_args());
    shell.current_dir(crate::support::workspace()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.output().unwrap()
}

#[test]
fn on_a_full_disk() {
    let operator = applied();
    let world = operator.world();
    // Not one page: the intent cannot be written, so nothing is done.
    let said = on_a_disk_with(&operator, 2048, &["unwind", "--all", "--auto-approve"]);
    assert_eq!(said.status.code(), Some(8), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(operator.world(), world, "no effect");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0, "nothing was lost");
}

#[test]
fn on_a_disk_that_fills_up_on_the_way() {
    let operator = applied();
    // Some records fit. How many is for the disk to say; what they announced is on record, whether it was done or not.
    let size = std::fs::metadata(operator.journal()).unwrap().len();
    let said = on_a_disk_with(&operator, size / 2, &["unwind", "--all", "--auto-approve"]);
    assert_eq!(said.status.code(), Some(8), "{}", String::from_utf8_lossy(&said.stderr));
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0, "nothing was lost");
}

#[test]
fn read_only() {
    if rustix::process::geteuid().is_root() {
        // To root nothing is read-only by its mode: the journal is put where nobody may write.
        let operator = applied();
        let world = operator.world();
        let said = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && shift && exec \"$@\"")
            .arg("sh")
            .arg(operator.state.path())
            .arg(operator.command(&[]).get_program())
            .args(operator.command(&["unwind", "--all", "--auto-approve"]).get_args())
            .output();
        let Ok(said) = said else { return };
        let err = String::from_utf8_lossy(&said.stderr);
        if err.contains("unshare") || err.contains("mount:") {
            eprintln!("not tested: this machine lets nobody make a read-only mount: {err}");
            return;
        }
        assert_eq!(said.status.code(), Some(8), "{err}");
        assert_eq!(operator.world(), world, "no effect");
        operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
        return;
    }
    let operator = applied();
    let mode = |m| std::fs::set_permissions(operator.journal(), std::fs::Permissions::from_mode(m)).unwrap();
    mode(0o400);
    refused_until(&operator, "read-only", || mode(0o600));
}
