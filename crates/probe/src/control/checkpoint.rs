//! `control.checkpoint`: a named point in a run, and nothing else.
//!
//! `unwind --to ID` and `apply --to ID` can stop at it, and `--step` asks before it. Since it has
//! no effect, an interrupted one was never made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;

/// A point to stop at and to go back to. It changes nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointParams {
    /// What has been reached, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// There is nothing that a checkpoint could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointBefore {}

/// A checkpoint has no output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointOutput {}

/// `control.checkpoint`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checkpoint;

impl Operation for Checkpoint {
    const KIND: &'static str = "control.checkpoint";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = CheckpointParams;
    type Before = CheckpointBefore;
    type Output = CheckpointOutput;

    fn facts(&self, _params: &CheckpointParams) -> Facts {
        Facts::without_effect()
    }

    fn example() -> Option<CheckpointParams> {
        Some(CheckpointParams { message: Some("the network stands".to_owned()) })
    }

    async fn capture(&self, _cx: &Cx, _params: &CheckpointParams) -> OpResult<CheckpointBefore> {
        Ok(CheckpointBefore {})
    }

    async fn create(
        &self,
        _cx: &Cx,
        _params: &CheckpointParams,
        _before: &CheckpointBefore,
    ) -> OpResult<CheckpointOutput> {
        Ok(CheckpointOutput {})
    }

    async fn find(
        &self,
        _cx: &Cx,
        _params: &CheckpointParams,
        _before: &CheckpointBefore,
    ) -> OpResult<Found<CheckpointOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &CheckpointParams,
        _before: &CheckpointBefore,
        _output: &CheckpointOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        _cx: &Cx,
        _params: &CheckpointParams,
        _before: &CheckpointBefore,
        _output: Option<&CheckpointOutput>,
        _want: Expect,
    ) -> OpResult<Verdict> {
        Ok(Verdict::new())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchback_engine::Registry;

    use super::*;

    #[test]
    fn it_is_registered_once_and_has_no_effect() {
        let mut registry = Registry::default();
        crate::register(&mut registry).unwrap();
        assert!(crate::register(&mut registry).is_err());
        let op = registry.get(Checkpoint::KIND).unwrap();
        let facts = op.bind(&json!({"message": "half way"})).unwrap().facts();
        assert_eq!(facts, Facts::without_effect());
        assert!(!op.settles());
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let mut registry = Registry::default();
        crate::register(&mut registry).unwrap();
        let errors = registry.get(Checkpoint::KIND).unwrap().bind(&json!({"mesage": "x"})).err().unwrap();
        assert!(errors[0].message.contains("unknown field `mesage`"), "{errors:?}");
    }
}
