//! A power cut loses nothing that was announced.
//!
//! A process works with journals and says which records it may announce; `strace` writes down what
//! it asks of the operating system. That is replayed on a [`Disk`] that remembers what was synced,
//! and the power is cut after every single call: what is left must be a journal, whole, with every
//! record that was announced by then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use switchback_engine::journal::Journal as _;
use switchback_journal::{SqliteJournal, Store};
use switchback_model::RunId;

use crate::disk::{Disk, Luck, Spares};
use crate::support::{PLAN, all, run_id, skipped, started, step_records, writer};

const FOLDER: &str = "SWITCHBACK_TEST_POWER_CUT_FOLDER";
/// The calls that change files or folders, and those that it takes to follow descriptors.
const CALLS: &str = "open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,write,writev,pwrite64,pwritev,pwritev2,fsync,\
                     fdatasync,sync_file_range,msync,ftruncate,truncate,fallocate,mkdir,mkdirat,unlink,unlinkat,rmdir,\
                     rename,renameat,renameat2,link,linkat,symlink,symlinkat,copy_file_range,sendfile";
/// How many different states with a part of what was not synced are tried after each call.
const LUCKS: u64 = 4;

/// Not a test by itself: the process whose power is cut.
#[test]
fn the_process_without_power() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    // The journal's folder is new, and so is the one that it is in.
    let folder = folder.join("new/state");
    let mut out = std::io::stdout();
    let mut say = |journal: &SqliteJournal| {
        writeln!(out, "announced {} {}", journal.run(), journal.last()).unwrap();
        out.flush().unwrap();
    };
    let mut append = |journal: &mut SqliteJournal, batches: usize| {
        for n in 0..batches {
            let step = |i| step_records(&format!("step{}-{i}", journal.last()));
            let batch = (0..=n % 3).flat_map(step).collect();
            journal.append(batch).unwrap();
            say(journal);
        }
    };
    let store = Store::open(&folder, writer()).unwrap();
    let mut journal = store.create_run(run_id(1), PLAN, started(), "apply").unwrap();
    append(&mut journal, 6);
    // The log is moved into the database while the run goes on, and is then written from its start again.
    let other = Connection::open(folder.join("journal.db")).unwrap();
    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    append(&mut journal, 6);
    let mut second = store.create_run(run_id(2), PLAN, started(), "apply").unwrap();
    append(&mut second, 2);
    append(&mut journal, 2);
    // Closing moves the log, too, and empties it.
    drop((second, journal));
    let mut journal = store.take_run(run_id(1), "resume").unwrap();
    append(&mut journal, 3);
}

/// What the process did, in order.
enum Did {
    Write { file: u64, at: usize, data: Vec<u8> },
    SetLen { file: u64, len: usize },
    Sync { file: u64 },
    Open { file: u64, path: PathBuf, create: bool, truncate: bool },
    Mkdir(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    Announced(RunId, u64),
}

/// Runs the process and returns what it did below its folder; `None` where nobody may look.
fn recorded() -> Option<Vec<Did>> {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("work");
    std::fs::create_dir(&below).unwrap();
    let trace = folder.path().join("trace");
    let output = Command::new("strace")
        .args(["--follow-forks", "--strings-in-hex=all", "--string-limit=16777216", "--quiet=all", "--signal=none"])
        .arg(format!("--trace=?{}", CALLS.replace(',', ",?").replace(' ', "")))
        .arg("--output")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "power_cut::the_process_without_power", "--nocapture", "--test-threads=1"])
        .env(FOLDER, &below)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("strace:") => output,
        other => {
            skipped(&format!("no process can be traced here (strace, ptrace): {other:?}"));
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(read_trace(&std::fs::read_to_string(&trace).unwrap(), &below))
}

/// Calls that end after another thread's have begun are two lines, `<unfinished ...>` and `resumed`.
fn read_trace(text: &str, below: &Path) -> Vec<Did> {
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let mut tracer = Tracer { below, descriptors: BTreeMap::new(), opened: 0, done: Vec::new() };
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread's number");
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start.to_owned());
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            let start = begun.remove(thread).expect("it has begun");
            tracer.call(&format!("{start}{end}"));
        } else {
            tracer.call(call);
        }
    }
    tracer.done
}

struct Tracer<'a> {
    below: &'a Path,
    /// The files that are open, each opening with a number of its own, and where `write` goes on in them.
    descriptors: BTreeMap<i64, (u64, usize)>,
    opened: u64,
    done: Vec<Did>,
}

impl Tracer<'_> {
    /// One call that is over: `name(arguments) = result`.
    fn call(&mut self, call: &str) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
        let result: i64 = result.split([' ', '<']).next().and_then(|n| n.parse().ok()).unwrap_or(-1);
        if result < 0 {
            return;
        }
        let number = |i: usize| arguments[i].parse::<i64>().unwrap();
        let size = |i: usize| usize::try_from(number(i)).unwrap();
        match name {
            "openat" => {
                if let Some(path) = self.path(arguments[1]) {
                    self.opened += 1;
                    self.descriptors.insert(result, (self.opened, 0));
                    let flag = |name| arguments[2].split('|').any(|f| f == name);
                    let (create, truncate) = (flag("O_CREAT"), flag("O_TRUNC"));
                    self.done.push(Did::Open { file: self.opened, path, create, truncate });
                }
            }
            "close" => {
                self.descriptors.remove(&number(0));
            }
            "write" if !self.descriptors.contains_key(&number(0)) => self.heard(&bytes(arguments[1])),
            "mkdir" => self.done.extend(self.path(arguments[0]).map(Did::Mkdir)),
            "unlink" => self.done.extend(self.path(arguments[0]).map(Did::Unlink)),
            "rename" => {
                let (from, to) = (self.path(arguments[0]), self.path(arguments[1]));
                self.done.extend(from.zip(to).map(|(from, to)| Did::Rename(from, to)));
            }
            "linkat" => {
                let (from, to) = (self.path(arguments[1]), self.path(arguments[3]));
                self.done.extend(from.zip(to).map(|(from, to)| Did::Link(from, to)));
            }
            // Everything else is about an open file; of others than ours nothing is followed.
            _ => {
                let Some((file, at)) = arguments[0].parse().ok().and_then(|d: i64| self.descriptors.get_mut(&d)) else {
                    let ours = arguments.iter().any(|a| a.contains('"') && self.path(a).is_some());
                    assert!(!ours, "a call that the test does not follow: {name}");
                    return;
                };
                let file = *file;
                let did = match name {
                    "write" => {
                        let data = bytes(arguments[1]);
                        let start = *at;
                        *at += data.len();
                        Did::Write { file, at: start, data }
                    }
                    "pwrite64" => Did::Write { file, at: size(3), data: bytes(arguments[1]) },
                    "ftruncate" => Did::SetLen { file, len: size(1) },
                    "fsync" | "fdatasync" => Did::Sync { file },
                    "lseek" => {
                        *at = usize::try_from(result).unwrap();
                        return;
                    }
                    "fcntl" if !arguments[1].starts_with("F_DUPFD") => return,
                    _ => panic!("a call that the test does not follow: {name}({arguments:?})"),
                };
                self.done.push(did);
            }
        }
    }

    /// A path below the folder, as if that were the root. SQLite's index is left out: it is scratch, and what
    /// is in it goes through memory.
    fn path(&self, argument: &str) -> Option<PathBuf> {
        let path = PathBuf::from(String::from_utf8(bytes(argument)).ok()?);
        let scratch = path.to_string_lossy().ends_with("-shm");
        path.strip_prefix(self.below).ok().filter(|_| !scratch).map(Path::to_owned)
    }

    fn heard(&mut self, said: &[u8]) {
        let said = String::from_utf8_lossy(said);
        if let Some((_, what)) = said.rsplit_once("announced ") {
            let (run, seq) = what.trim().split_once(' ').unwrap();
            self.done.push(Did::Announced(run.parse().unwrap(), seq.parse().unwrap()));
        }
    }
}

/// A text of strace's in hexadecimal.
fn bytes(argument: &str) -> Vec<u8> {
    assert!(!argument.ends_with("..."), "it was cut off");
    let text = argument.trim_matches('"').replace("\\x", "");
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// What came of the power cuts.
#[derive(Debug, Default)]
struct Tally {
    calls: usize,
    cuts: usize,
    /// Where something that was announced was not there any more, or the journal could not be read.
    lost: Vec<String>,
}

/// Cuts the power after each call, until it has seen enough that was lost. `syncs`: whether the disk does what it is
/// asked there.
fn cut_everywhere(done: &[Did], syncs: &dyn Fn(&Path) -> bool) -> Tally {
    let mut disk = Disk::new();
    // What is open: which file, and as what.
    let mut open: BTreeMap<u64, (usize, &Path)> = BTreeMap::new();
    let mut announced: BTreeMap<RunId, u64> = BTreeMap::new();
    let mut tally = Tally::default();
    for did in done {
        match did {
            Did::Write { file, at, data } => disk.write(open[file].0, *at, data.clone()),
            Did::SetLen { file, len } => disk.set_len(open[file].0, *len),
            Did::Sync { file } => {
                let (inode, path) = open[file];
                if syncs(path) {
                    disk.sync(inode);
                }
            }
            Did::Open { file, path, create, truncate } => {
                let inode = match disk.find(path) {
                    Some(inode) => inode,
                    None if *create => disk.create(path),
                    None => panic!("{} is not there", path.display()),
                };
                if *truncate {
                    disk.set_len(inode, 0);
                }
                open.insert(*file, (inode, path));
            }
            Did::Mkdir(path) => disk.mkdir(path),
            Did::Link(from, to) => disk.link(from, to),
            Did::Rename(from, to) => disk.rename(from, to),
            Did::Unlink(path) => disk.unlink(path),
            Did::Announced(run, seq) => {
                announced.insert(*run, *seq);
            }
        }
        tally.calls += 1;
        let lucks = (0..if disk.is_synced() { 0 } else { LUCKS }).map(|n| Spares::Some(tally.calls as u64 * LUCKS + n));
        for spares in [Spares::Nothing, Spares::Everything].into_iter().chain(lucks) {
            tally.cuts += 1;
            if let Err(what) = survives(&disk, spares, &announced) {
                tally.lost.push(format!("after call {}, sparing {spares:?}: {what}", tally.calls));
            }
        }
        if tally.lost.len() >= 5 {
            break;
        }
    }
    tally
}

/// What is left is a journal that can be read, in which everything is that was announced, and that goes on.
fn survives(disk: &Disk, spares: Spares, announced: &BTreeMap<RunId, u64>) -> Result<(), String> {
    // In memory where that can be had: this power is not cut.
    let left = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    disk.cut(spares, left.path());
    let folder = left.path().join("new/state");
    let file = folder.join("journal.db");
    if let Spares::Some(seed) = spares {
        // Of the index anything may be left.
        let mut luck = Luck(seed);
        let garbage = (0..4096).flat_map(|_| luck.below(u64::MAX).to_le_bytes()).collect::<Vec<u8>>();
        if file.exists() {
            std::fs::write(folder.join("journal.db-shm"), garbage).unwrap();
        }
    }
    let said = |e| format!("{e:?}");
    if file.exists() || !announced.is_empty() {
        let store = Store::open_read_only(&folder).map_err(said)?;
        for (run, seq) in announced {
            let newest = all(&store, *run).map_err(said)?.last().map_or(0, |r| r.seq.0);
            if newest < *seq {
                return Err(format!("record {seq} of run {run} was announced, {newest} is the newest"));
            }
        }
        for run in store.runs().map_err(said)? {
            all(&store, run.run).map_err(said)?;
        }
    }
    let store = Store::open(&folder, writer()).map_err(said)?;
    for run in store.runs().map_err(said)? {
        let mut journal = store.take_run(run.run, "resume").map_err(said)?;
        journal.append(step_records("after")).map_err(said)?;
        drop(journal);
        all(&store, run.run).map_err(said)?;
    }
    Ok(())
}

#[test]
#[expect(clippy::print_stderr, reason = "how much was tried is worth a line")]
fn nothing_announced_is_lost_by_a_power_cut() {
    let Some(done) = recorded() else { return };
    let tally = cut_everywhere(&done, &|_| true);
    assert!(tally.lost.is_empty(), "{:#?}", tally.lost);
    let announced = done.iter().filter(|d| matches!(d, Did::Announced(..))).count();
    assert!(announced > 15 && tally.calls > 200, "{announced} announcements, {} calls", tally.calls);
    eprintln!("{} power cuts after {} calls, {announced} announcements: nothing lost", tally.cuts, tally.calls);
}

/// The check itself: on a disk that leaves out any one kind of sync, something is lost.
#[test]
fn every_sync_is_needed() {
    let Some(done) = recorded() else { return };
    let what = |path: &Path| match &*path.to_string_lossy() {
        "new/state/journal.db-wal" => "the log",
        "new/state/journal.db" => "the database",
        "new/state" => "the folder",
        "new" => "the folder that it is in",
        "" => "the folder that was there",
        draft if draft.starts_with("new/state/journal.db.") => "the draft of a database",
        _ => "anything else",
    };
    let synced: BTreeMap<u64, &str> = done
        .iter()
        .filter_map(|did| match did {
            Did::Open { file, path, .. } => Some((*file, what(path))),
            _ => None,
        })
        .collect();
    let synced: BTreeSet<&str> =
        done.iter().filter_map(|did| if let Did::Sync { file } = did { Some(synced[file]) } else { None }).collect();
    assert_eq!(synced.len(), 6, "{synced:?}");
    for left_out in synced {
        let tally = cut_everywhere(&done, &|path| what(path) != left_out);
        assert!(!tally.lost.is_empty(), "{left_out} need not be synced?");
    }
}
