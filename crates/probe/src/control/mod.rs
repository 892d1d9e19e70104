//! `control.*`: steps that shape a run without touching anything outside it.

mod approval;
mod checkpoint;
mod wait;

pub use approval::{Approval, ApprovalBefore, ApprovalOutput, ApprovalParams};
pub use checkpoint::{Checkpoint, CheckpointBefore, CheckpointOutput, CheckpointParams};
pub use wait::{Wait, WaitBefore, WaitOutput, WaitParams};
