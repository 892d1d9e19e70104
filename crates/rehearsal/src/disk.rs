//! A journal in memory, with the hash chain of the real one. It survives the processes that write it.
//!
//! What is held here is what is durable: a batch is on it before `append` returns, or not at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use switchback_engine::cx::Fence;
use switchback_engine::journal::{Journal, JournalError};
use switchback_journal::chain::{Chain, Columns, Hash};
use switchback_model::record::{
    Actor, Direction, Draft, Endpoint, ExecutorStarted, FORMAT_VERSION, Record, RunSecrets, RunStarted,
};
use switchback_model::{Epoch, ErrorClass, Generation, OpError, OpResult, RunId, Seq};

/// Sees every commit: its records, and the payload of each as stored. `false`: the process dies here.
pub(crate) type OnCommit = Box<dyn FnMut(&[Arc<Record>], &[String]) -> bool + Send>;

struct Stored {
    records: Vec<Arc<Record>>,
    epoch: u64,
    dead: bool,
    on_commit: Option<OnCommit>,
}

/// What survives a crash. Clones share it.
#[derive(Clone)]
pub(crate) struct Disk {
    run: RunId,
    actor: Arc<Actor>,
    stored: Arc<Mutex<Stored>>,
}

/// What everything is dated in a rehearsal: nothing is ordered by time.
pub(crate) const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn actor() -> Actor {
    Actor {
        user: "rehearsal".into(),
        host: "rehearsal".into(),
        pid: 1,
        aws_caller: None,
        binary: env!("CARGO_PKG_VERSION").into(),
    }
}

/// A record's place in the chain, after a record of that hash.
pub(crate) fn hash_after(chain: &mut Chain, previous: &Hash, record: &Record, payload: &str, actor: &str) -> Hash {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let draft = &record.draft;
    let at = i64::try_from(draft.at.as_nanosecond()).unwrap_or(i64::MAX);
    let columns = Columns {
        seq: number(record.seq.0),
        at,
        actor,
        step: draft.step.as_ref().map(|step| step.as_str()),
        generation: i64::from(draft.generation.0),
        direction: draft.direction.as_str(),
        kind: draft.body.kind(),
        payload,
    };
    chain.next(previous, &columns)
}

/// The text of an actor, as it is chained.
pub(crate) fn actor_text(actor: &Actor) -> String {
    serde_json::to_string(actor).unwrap_or_default()
}

impl Disk {
    /// A disk with these records on it.
    pub(crate) fn with(run: RunId, records: &[Arc<Record>]) -> Self {
        let epochs = records.iter().filter(|r| r.body().kind() == "ExecutorStarted").count();
        let stored = Stored { records: records.to_vec(), epoch: epochs as u64, dead: false, on_commit: None };
        Self { run, actor: Arc::new(actor()), stored: Arc::new(Mutex::new(stored)) }
    }

    /// A disk with a run on it that has just been started.
    pub(crate) fn begin(
        run: RunId,
        runbook: &str,
        plan_hash: &str,
        secrets: Option<RunSecrets>,
    ) -> Result<Self, String> {
        let disk = Self::with(run, &[]);
        let body = RunStarted {
            format: FORMAT_VERSION,
            runbook: runbook.to_owned(),
            plan_hash: plan_hash.to_owned(),
            endpoint: Endpoint::default(),
            secrets,
            rehearsal: None,
        };
        let direction = Direction::Forward;
        let first = Draft { at: NOW, step: None, generation: Generation::FIRST, direction, body: body.into() };
        disk.push(vec![first]).map_err(|e| e.to_string())?;
        Ok(disk)
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends; whoever asks is told, and may let the process die.
    pub(crate) fn push(&self, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError> {
        let mut stored = self.stored();
        let begin = stored.records.len();
        let mut chain = Chain::new(self.run);
        let text = actor_text(&self.actor);
        let mut payloads = Vec::with_capacity(batch.len());
        for draft in batch {
            let payload =
                draft.body.payload().map_err(|e| JournalError::Store { path: "memory".into(), source: Box::new(e) })?;
            let previous = stored.records.last().map_or([0; 32], |r| r.hash);
            let seq = Seq(stored.records.len() as u64 + 1);
            let mut record = Record { seq, actor: self.actor.clone(), run: self.run, draft, hash: [0; 32] };
            record.hash = hash_after(&mut chain, &previous, &record, &payload, &text);
            stored.records.push(Arc::new(record));
            payloads.push(payload);
        }
        let new = stored.records[begin..].to_vec();
        if let Some(mut on_commit) = stored.on_commit.take() {
            if !on_commit(&new, &payloads) {
                stored.dead = true;
            }
            stored.on_commit = Some(on_commit);
        }
        Ok(new)
    }

    /// Everything that is durable.
    pub(crate) fn records(&self) -> Vec<Arc<Record>> {
        self.stored().records.clone()
    }

    /// From now on this one sees every commit.
    pub(crate) fn on_commit(&self, hook: Option<OnCommit>) {
        self.stored().on_commit = hook;
    }

    /// A new process opens the run.
    pub(crate) fn open(&self, command: &str) -> Result<MemoryJournal, JournalError> {
        let epoch = {
            let mut stored = self.stored();
            stored.epoch += 1;
            stored.dead = false;
            Epoch(stored.epoch)
        };
        let body = ExecutorStarted { epoch, command: command.to_owned() }.into();
        let direction = Direction::Forward;
        self.push(vec![Draft { at: NOW, step: None, generation: Generation::FIRST, direction, body }])?;
        Ok(MemoryJournal { disk: self.clone(), epoch })
    }
}

/// The journal of one process.
pub(crate) struct MemoryJournal {
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
        if self.disk.stored().dead {
            return Err(dead());
        }
        let records = self.disk.push(batch)?;
        if self.disk.stored().dead { Err(dead()) } else { Ok(records) }
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
