//! `control.approval`: a person must agree before what comes next.
//!
//! Nothing that the engine can do makes this step: its create asks, and pauses the run. `switchback approve`
//! records who agreed and why, as an adoption that a person confirmed, and `switchback resume` goes on. On the way
//! back there is nothing to ask and nothing to undo.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};

/// The code of the error that asks.
const ASKS: &str = "ApprovalNeeded";

/// A question to people. The run pauses until one of them agrees.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalParams {
    /// What is asked.
    pub message: String,
    /// Who may agree, by their user names on the host. Default: anybody who may write the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
}

/// There is nothing that a question could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalBefore {}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalOutput {
    /// Who agreed: a user name on the host.
    pub approved_by: String,
    /// Why.
    pub reason: String,
}

/// `control.approval`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Approval;

impl ApprovalParams {
    fn allows(&self, by: &str) -> bool {
        self.approvers.is_empty() || self.approvers.iter().any(|name| name == by)
    }
}

impl Operation for Approval {
    const KIND: &'static str = "control.approval";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = ApprovalParams;
    type Before = ApprovalBefore;
    type Output = ApprovalOutput;

    fn facts(&self, _params: &ApprovalParams) -> Facts {
        Facts::without_effect()
    }

    fn example() -> Option<ApprovalParams> {
        Some(ApprovalParams {
            message: "The new cluster is warm. Move the traffic?".to_owned(),
            approvers: vec!["alice".to_owned(), "bob".to_owned()],
        })
    }

    fn check(&self, params: &ApprovalParams) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        if params.message.trim().is_empty() {
            errors.push(ParamError::new("message", "is empty; say what is asked"));
        }
        if params.approvers.iter().any(|name| name.trim().is_empty()) {
            errors.push(ParamError::new("approvers", "one of the names is empty"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, _cx: &Cx, _params: &ApprovalParams) -> OpResult<ApprovalBefore> {
        Ok(ApprovalBefore {})
    }

    async fn create(&self, cx: &Cx, params: &ApprovalParams, _before: &ApprovalBefore) -> OpResult<ApprovalOutput> {
        let who = if params.approvers.is_empty() { "anybody".to_owned() } else { params.approvers.join(" or ") };
        let message = format!("{who} must approve: {}", params.message);
        let hint = format!("`switchback approve '{}' --reason TEXT`, then `switchback resume`", cx.step());
        Err(OpError::new(ErrorClass::Unavailable, message).with_code(ASKS).with_hint(hint))
    }

    fn approved(&self, params: &ApprovalParams, by: &str, reason: &str) -> Option<Result<ApprovalOutput, String>> {
        Some(if params.allows(by) {
            Ok(ApprovalOutput { approved_by: by.to_owned(), reason: reason.to_owned() })
        } else {
            Err(format!("`{by}` is not one of those who may approve it: {}", params.approvers.join(", ")))
        })
    }

    async fn find(
        &self,
        _cx: &Cx,
        _params: &ApprovalParams,
        _before: &ApprovalBefore,
    ) -> OpResult<Found<ApprovalOutput>> {
        // What a person says is on record, or was not said.
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &ApprovalParams,
        _before: &ApprovalBefore,
        _output: &ApprovalOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        _cx: &Cx,
        params: &ApprovalParams,
        _before: &ApprovalBefore,
        output: Option<&ApprovalOutput>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if want == Expect::RolledBack {
            return Ok(Verdict::new());
        }
        let allowed = output.is_some_and(|output| params.allows(&output.approved_by));
        let mut verdict = Verdict::new().compare("one who may approve it did", true, allowed);
        verdict.observed = json!({"approved_by": output.map(|output| &output.approved_by)});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[tokio::test]
    async fn it_asks_and_pauses_the_run() {
        let cx = Bench::default().cx();
        let error = Approval.create(&cx, &Approval::example().unwrap(), &ApprovalBefore {}).await.unwrap_err();
        assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Unavailable, Some(ASKS)));
        assert_eq!(error.message, "alice or bob must approve: The new cluster is warm. Move the traffic?");
        assert!(error.hint.unwrap().starts_with("`switchback approve 'probe'"));
    }

    #[tokio::test]
    async fn only_those_who_are_named_may_approve() {
        let (named, open) =
            (Approval::example().unwrap(), ApprovalParams { message: "Go?".to_owned(), approvers: Vec::new() });
        let out = Approval.approved(&named, "bob", "it is warm").unwrap().unwrap();
        assert_eq!((out.approved_by.as_str(), out.reason.as_str()), ("bob", "it is warm"));
        assert!(Approval.approved(&named, "eve", "it is warm").unwrap().is_err());
        assert!(Approval.approved(&open, "eve", "it is warm").unwrap().is_ok());
        let cx = Bench::default().cx();
        let eve = ApprovalOutput { approved_by: "eve".to_owned(), ..out.clone() };
        for (output, fine) in [(Some(&out), true), (Some(&eve), false), (None, false)] {
            let verdict = Approval.verify(&cx, &named, &ApprovalBefore {}, output, Expect::Created).await.unwrap();
            assert_eq!(verdict.holds(), fine);
        }
        let empty = ApprovalParams { message: " ".to_owned(), approvers: vec![String::new()] };
        assert_eq!(Approval.check(&empty).unwrap_err().len(), 2);
    }
}
