//! The journal on a disk that fails on the way: one that fills up, one that turns read-only. Exit
//! code 8, nothing is done that is not on record, and with a sound disk the run goes on.
//!
//! Real file systems, mounted over an operator's state folder, where this machine lets us.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::stopped::records;
use crate::support::{Operator, Said, mistersmith, pause};

/// Points at which a disk turns read-only.
const FAILURES: usize = 6;
const KB: u64 = 1024;

/// An operator whose state folder is a disk of its own.
struct Site {
    /// First, so that it is taken off before its folder goes.
    disk: Disk,
    operator: Operator,
    /// Whose sandbox it is: no failure of the disk is to hurt the cloud.
    _cloud: Operator,
}

impl Site {
    fn new(make: impl FnOnce(&Operator) -> Option<Disk>) -> Option<Self> {
        let (operator, cloud) = (Operator::alone(), Operator::with_sandbox());
        let mut disk = make(&operator)?;
        disk.cloud = cloud.state.path().to_owned();
        disk.show_cloud();
        Some(Self { disk, operator, _cloud: cloud })
    }
}

/// A disk that is mounted for as long as this lives.
struct Disk {
    at: PathBuf,
    cloud: PathBuf,
    /// What it is on; none: memory.
    image: Option<(TempDir, PathBuf)>,
}

impl Disk {
    /// In memory, with that many bytes of room.
    fn small(operator: &Operator, bytes: u64) -> Option<Self> {
        Self::mount(operator, None, &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
    }

    /// An ext4 file system that turns read-only when it finds itself damaged.
    fn ext4(operator: &Operator) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let image = folder.path().join("image");
        std::fs::File::create(&image).and_then(|f| f.set_len(16 * KB * KB)).expect("an image");
        match Command::new("mkfs.ext4").arg("-q").arg(&image).output() {
            Ok(made) if made.status.success() => {}
            other => return skipped(&other),
        }
        let args = ["-o", "loop,errors=remount-ro", &image.to_string_lossy()];
        Self::mount(operator, Some((folder, image.clone())), &args)
    }

    fn mount(operator: &Operator, image: Option<(TempDir, PathBuf)>, args: &[&str]) -> Option<Self> {
        let at = operator.state.path().to_owned();
        match Command::new("mount").args(args).arg(&at).output() {
            Ok(done) if done.status.success() => Some(Self { at, cloud: PathBuf::new(), image }),
            other => skipped(&other),
        }
    }

    /// The sandbox is found in this folder, too.
    fn show_cloud(&self) {
        for name in ["sandbox.json", "sandbox.lock"] {
            let link = self.at.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(self.cloud.join(name), link).expect("there is room");
            }
        }
    }

    /// Leaves that many bytes of room; none: all there is.
    fn leave(&self, room: Option<u64>) {
        let ballast = self.at.join("ballast");
        let _ = std::fs::remove_file(&ballast);
        if let Some(room) = room {
            let disk = rustix::fs::statvfs(&self.at).unwrap();
            let size = usize::try_from((disk.f_bavail * disk.f_frsize).saturating_sub(room)).unwrap();
            std::fs::write(ballast, vec![1; size]).unwrap();
        }
    }

    /// The kernel is told that the file system is damaged; it then lets nobody write any more. Whether it could be.
    fn damage(&self) -> bool {
        let find = Command::new("findmnt").args(["-n", "-o", "SOURCE", "--mountpoint"]).arg(&self.at).output();
        let Ok(found) = find else { return false };
        let device = String::from_utf8_lossy(&found.stdout).trim().trim_start_matches("/dev/").to_owned();
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "the test wants it\n").is_ok()
    }

    /// What a person does: takes the disk off, has it checked, and puts it back.
    fn repair(&self) {
        let (_, image) = self.image.as_ref().expect("not in memory");
        // A process that has just ended may be in its way for a moment.
        let begin = Instant::now();
        loop {
            let done = Command::new("umount").arg(&self.at).output().unwrap();
            if done.status.success() {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "{done:?}");
            pause(20);
        }
        let checked = Command::new("fsck.ext4").args(["-f", "-y"]).arg(image).output().unwrap();
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
        let done = Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(&self.at).output();
        assert!(done.is_ok_and(|d| d.status.success()));
        self.show_cloud();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
    }
}

fn skipped(why: &std::io::Result<Output>) -> Option<Disk> {
    eprintln!("SKIPPED: this machine lets nobody mount a disk: {why:?}");
    None
}

/// What the records of the newest run say, of one kind.
fn steps_with(operator: &Operator, kind: &str) -> BTreeSet<String> {
    let log = operator.run(&["--json", "log", "--all"]).exits(0);
    let lines = log.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|l| l["data"]["kind"] == kind).filter_map(|l| l["data"]["step"].as_str().map(str::to_owned)).collect()
}

/// Everything that is there was announced.
fn nothing_unannounced(operator: &Operator, case: &str) {
    let announced = steps_with(operator, "CreateStarted");
    for thing in operator.world()["resources"].as_array().unwrap() {
        let Some(tag) = thing["tags"]["switchback:step"].as_str() else { continue };
        let step = tag.split_once('/').map_or_else(|| tag.to_owned(), |(name, key)| format!("{name}[{key}]"));
        assert!(announced.contains(&step), "{case}: `{step}` was made, and nothing says so: {announced:?}");
    }
}

fn apply(operator: &Operator) -> Command {
    operator.command(&["apply", &mistersmith().to_string_lossy(), "--sandbox", "--auto-approve"])
}

/// The ends that a run without a failure reaches: the start, and all done.
fn ends(operator: &Operator) -> (Value, Value) {
    let start = operator.nameless();
    Said::new(apply(operator).output().unwrap()).exits(0);
    let done = operator.nameless();
    back_to(operator, &start, "without a failure");
    (start, done)
}

fn back_to(operator: &Operator, start: &Value, case: &str) {
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(&operator.nameless(), start, "{case}: unwound = start");
}

fn on_to(operator: &Operator, done: &Value, case: &str) {
    operator.run(&["resume"]).exits(0);
    assert_eq!(&operator.nameless(), done, "{case}: resumed = uninterrupted");
}

#[test]
fn a_disk_that_fills_up_while_a_run_is_written() {
    let Some(site) = Site::new(|operator| Disk::small(operator, 8 * KB * KB)) else { return };
    let (disk, operator) = (&site.disk, &site.operator);
    let (start, done) = ends(operator);
    let mut failed = 0;
    for n in 1_u64.. {
        let case = format!("{} kB", n * 96);
        disk.leave(Some(n * 96 * KB));
        let before = records(operator);
        let said = Said::new(apply(operator).output().unwrap());
        if said.code == 0 {
            disk.leave(None);
            break;
        }
        let said = said.exits(8).says("no space is left for the journal");
        let after = records(operator);
        if after == before {
            // No room for the first record of a run.
            assert_eq!(operator.nameless(), start, "{case}: {said:?}");
            disk.leave(None);
            continue;
        }
        failed += 1;
        // Looking needs no room.
        operator.run(&["status"]).exits(0);
        nothing_unannounced(operator, &case);
        // Still without room, going on is refused, and nothing is done.
        disk.leave(Some(0));
        let world = operator.world();
        operator.run(&["resume"]).exits(8);
        assert_eq!(operator.world(), world, "{case}: no effect");
        disk.leave(None);
        if n % 2 == 0 {
            on_to(operator, &done, &case);
        }
        back_to(operator, &start, &case);
    }
    assert!(failed >= 3, "the disk was full in the middle of {failed} runs only");
}

#[test]
fn a_disk_that_turns_read_only_while_a_run_is_written() {
    let Some(site) = Site::new(Disk::ext4) else { return };
    let (disk, operator) = (&site.disk, &site.operator);
    let (start, done) = ends(operator);
    let mut rng = SmallRng::seed_from_u64(5);
    for n in 0..FAILURES {
        let before = records(operator);
        let at = rng.random_range(5..150);
        let case = format!("after {at} records");
        let mut child = apply(operator).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while records(operator) < before + at && child.try_wait().unwrap().is_none() {
            pause(1);
        }
        if !disk.damage() {
            child.wait().unwrap();
            eprintln!("SKIPPED: this kernel cannot be told that a disk is damaged");
            return;
        }
        Said::new(child.wait_with_output().unwrap()).exits(8).says("read-only");
        let world = operator.world();
        operator.run(&["resume"]).exits(8).says("read-only");
        assert_eq!(operator.world(), world, "{case}: no effect");
        disk.repair();
        nothing_unannounced(operator, &case);
        if n % 2 == 0 {
            on_to(operator, &done, &case);
        }
        back_to(operator, &start, &case);
    }
}
