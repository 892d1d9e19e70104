//! `control.*`: steps that shape a run without touching anything outside it.

mod checkpoint;

pub use checkpoint::{Checkpoint, CheckpointBefore, CheckpointOutput, CheckpointParams};
