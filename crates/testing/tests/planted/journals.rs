//! Engines with a bug: what stands between the engine and its journal.

use std::sync::Arc;

use switchback_engine::cx::Fence;
use switchback_engine::journal::{Journal, JournalError};
use switchback_model::record::{Body, Draft, Record};
use switchback_model::{Epoch, Generation, RunId};
use switchback_rehearsal::JournalWrap;

/// What the engine does wrong with its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The last record of each commit comes with the next one.
    HoldsBack,
    /// What announces a write comes with the next commit.
    IntentLate,
    /// What says how a call ended comes with the next commit.
    OutcomeLate,
    /// What says that a step is done is acknowledged, and dropped.
    Drops,
    /// The records of a commit come in the wrong order.
    Reorders,
    /// An output is not what the operation said.
    Alters,
    /// Every record is of the first generation.
    FirstGeneration,
}

/// A wrap that does this wrong.
pub(crate) fn lying(lie: Lie) -> JournalWrap {
    Arc::new(move |journal| Box::new(Lying { journal, lie, held: Vec::new() }))
}

struct Lying {
    journal: Box<dyn Journal>,
    lie: Lie,
    held: Vec<Draft>,
}

impl Lying {
    fn holds(&self, draft: &Draft) -> bool {
        match self.lie {
            Lie::IntentLate => matches!(draft.body, Body::CreateStarted(_) | Body::RollbackStarted(_)),
            Lie::OutcomeLate => matches!(draft.body, Body::Created(_) | Body::RolledBack(_)),
            _ => false,
        }
    }
}

impl Journal for Lying {
    fn run(&self) -> RunId {
        self.journal.run()
    }

    fn epoch(&self) -> Epoch {
        self.journal.epoch()
    }

    fn append(&mut self, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError> {
        let mut batch: Vec<Draft> = std::mem::take(&mut self.held).into_iter().chain(batch).collect();
        match self.lie {
            Lie::HoldsBack => self.held.extend(batch.pop()),
            Lie::IntentLate | Lie::OutcomeLate => {
                // What is held back stays in its order.
                let first = batch.iter().position(|draft| self.holds(draft));
                // Held back once, and not for ever.
                if let Some(first) = first.filter(|first| *first > 0 || batch.len() == 1) {
                    self.held = batch.split_off(first);
                }
            }
            Lie::Drops => batch.retain(|draft| !matches!(draft.body, Body::Verified(_))),
            Lie::Reorders => batch.reverse(),
            Lie::Alters => {
                for draft in &mut batch {
                    if let Body::Created(created) = &mut draft.body {
                        let text = created.output.get().replace("chest-", "chest-9");
                        created.output = serde_json::from_str(&text).unwrap();
                    }
                }
            }
            Lie::FirstGeneration => {
                for draft in &mut batch {
                    draft.generation = Generation::FIRST;
                }
            }
        }
        self.journal.append(batch)
    }

    fn fence(&self) -> Arc<dyn Fence> {
        self.journal.fence()
    }

    fn set_caller(&mut self, caller: &str) {
        self.journal.set_caller(caller);
    }
}
