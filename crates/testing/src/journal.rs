//! A journal in memory, which can be cut off before or after any commit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchback_engine::cx::Fence;
use switchback_engine::journal::{Journal, JournalError};
use switchback_model::record::{
    Actor, Draft, Endpoint, ExecutorStarted, FORMAT_VERSION, Record, RunSecrets, RunStarted,
};
use switchback_model::{Epoch, ErrorClass, Generation, OpError, OpResult, RunId, Seq};

use crate::rig::fixed_time;

/// When the process dies, counted in commits of one execution (from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// The commit of that number does not happen.
    Before(usize),
    /// The commit of that number happens, and nothing after it.
    After(usize),
}

/// Called with every record, inside its commit.
pub type OnRecord = Box<dyn FnMut(&Record) + Send>;

/// What survives a crash.
#[derive(Default)]
struct Stored {
    records: Vec<Arc<Record>>,
    /// How many records there were after each commit.
    ends: Vec<usize>,
    epoch: u64,
    commits: usize,
    cut_off: Option<CutOff>,
    cut: bool,
    on_record: Option<OnRecord>,
}

/// The disk: what survives a crash. Clones share it.
#[derive(Clone)]
pub struct Disk {
    run: RunId,
    stored: Arc<Mutex<Stored>>,
}

impl Disk {
    /// A disk with a run on it that has just been started.
    #[must_use]
    pub fn new(run: RunId, endpoint: Endpoint) -> Self {
        Self::with_secrets(run, endpoint, None)
    }

    /// A disk with a run on it that has just been started with these secrets.
    #[must_use]
    pub fn with_secrets(run: RunId, endpoint: Endpoint, secrets: Option<RunSecrets>) -> Self {
        let disk = Self { run, stored: Arc::default() };
        let started = RunStarted {
            format: FORMAT_VERSION,
            runbook: "test".into(),
            plan_hash: String::new(),
            endpoint,
            secrets,
            rehearsal: None,
        };
        disk.push(vec![draft(started)]);
        disk
    }

    /// A disk with these records on it.
    #[must_use]
    pub fn with_records(run: RunId, records: &[Arc<Record>]) -> Self {
        let disk = Self { run, stored: Arc::default() };
        disk.stored().records = records.to_vec();
        disk
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, batch: Vec<Draft>) -> Vec<Arc<Record>> {
        let mut stored = self.stored();
        let actor = Arc::new(Actor {
            user: "test".into(),
            host: "test".into(),
            pid: 1,
            aws_caller: None,
            binary: "test".into(),
        });
        let mut out = Vec::new();
        for draft in batch {
            let seq = Seq(stored.records.len() as u64 + 1);
            let record = Arc::new(Record { seq, actor: actor.clone(), run: self.run, draft, hash: [0; 32] });
            if let Some(hook) = &mut stored.on_record {
                hook(&record);
            }
            stored.records.push(record.clone());
            out.push(record);
        }
        let end = stored.records.len();
        stored.ends.push(end);
        out
    }

    /// Everything that is durable.
    #[must_use]
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.stored().records.clone()
    }

    /// How many records there were after each commit: what a crash can leave, since a commit is atomic.
    #[must_use]
    pub fn commit_ends(&self) -> Vec<usize> {
        self.stored().ends.clone()
    }

    /// Whether the process was cut off by [`CutOff`].
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.stored().cut
    }

    /// Commits of the newest execution.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.stored().commits
    }

    /// Called with every record from now on.
    pub fn on_record(&self, hook: OnRecord) {
        self.stored().on_record = Some(hook);
    }

    /// A new process opens the run.
    #[must_use]
    pub fn open(&self, command: &str, cut_off: Option<CutOff>) -> MemoryJournal {
        let epoch = {
            let mut stored = self.stored();
            stored.epoch += 1;
            stored.commits = 0;
            stored.cut_off = cut_off;
            stored.cut = false;
            Epoch(stored.epoch)
        };
        self.push(vec![draft(ExecutorStarted { epoch, command: command.to_owned() })]);
        MemoryJournal { disk: self.clone(), epoch }
    }
}

fn draft(body: impl Into<switchback_model::record::Body>) -> Draft {
    Draft {
        at: fixed_time(),
        step: None,
        generation: Generation::FIRST,
        direction: switchback_model::record::Direction::Forward,
        body: body.into(),
    }
}

/// The journal of one execution.
pub struct MemoryJournal {
    disk: Disk,
    epoch: Epoch,
}

impl Journal for MemoryJournal {
    fn run(&self) -> RunId {
        self.disk.run
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&mut self, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError> {
        let dead = || JournalError::Full { path: "memory".into() };
        let cut = {
            let mut stored = self.disk.stored();
            if stored.epoch != self.epoch.0 {
                let newest = Epoch(stored.epoch);
                return Err(JournalError::TakenOver { run: self.disk.run, ours: self.epoch, newest });
            }
            if stored.cut {
                return Err(dead());
            }
            let n = stored.commits;
            stored.commits += 1;
            match stored.cut_off {
                Some(CutOff::Before(at)) if at == n => {
                    stored.cut = true;
                    return Err(dead());
                }
                Some(CutOff::After(at)) if at == n => {
                    stored.cut = true;
                    true
                }
                _ => false,
            }
        };
        let records = self.disk.push(batch);
        if cut { Err(dead()) } else { Ok(records) }
    }

    fn fence(&self) -> Arc<dyn Fence> {
        Arc::new(MemoryFence { disk: self.disk.clone(), epoch: self.epoch })
    }

    fn set_caller(&mut self, _caller: &str) {}
}

struct MemoryFence {
    disk: Disk,
    epoch: Epoch,
}

impl Fence for MemoryFence {
    fn check(&self) -> OpResult<()> {
        if self.disk.stored().epoch == self.epoch.0 {
            Ok(())
        } else {
            Err(OpError::new(ErrorClass::Unavailable, "another executor has taken over"))
        }
    }
}
