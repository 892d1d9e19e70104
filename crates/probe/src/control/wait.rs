//! `control.wait`: lets time pass.
//!
//! When the wait began is on record, so a process that is started anew goes on with the same wait.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;

use crate::span::{Span, Window};

/// Time that must pass before what comes next. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitParams {
    /// How long.
    #[serde(rename = "for")]
    pub time: Span,
    /// What is waited for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// There is nothing that a wait could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitBefore {}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitOutput {
    /// When the wait began, in UTC.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// `control.wait`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wait;

impl Operation for Wait {
    const KIND: &'static str = "control.wait";
    const VERSION: u32 = 1;
    type Params = WaitParams;
    type Before = WaitBefore;
    type Output = WaitOutput;

    fn facts(&self, params: &WaitParams) -> Facts {
        let create_deadline = params.time.time().saturating_add(Duration::from_secs(60));
        Facts { create_deadline, ..Facts::without_effect() }
    }

    fn example() -> Option<WaitParams> {
        let message = Some("until caches have forgotten the old address".to_owned());
        Some(WaitParams { time: Span::seconds(600), message })
    }

    async fn capture(&self, _cx: &Cx, _params: &WaitParams) -> OpResult<WaitBefore> {
        Ok(WaitBefore {})
    }

    async fn create(&self, cx: &Cx, _params: &WaitParams, _before: &WaitBefore) -> OpResult<WaitOutput> {
        Ok(WaitOutput { since: cx.now() })
    }

    async fn settle(
        &self,
        cx: &Cx,
        params: &WaitParams,
        _before: &WaitBefore,
        output: &WaitOutput,
    ) -> OpResult<WaitOutput> {
        let why = params.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        let window = Window::new(cx, output.since, params.time.time());
        window.outlast(cx, &format!("waiting for {}{why}", params.time)).await?;
        Ok(output.clone())
    }

    async fn find(&self, _cx: &Cx, _params: &WaitParams, _before: &WaitBefore) -> OpResult<Found<WaitOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &WaitParams,
        _before: &WaitBefore,
        _output: &WaitOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        _cx: &Cx,
        _params: &WaitParams,
        _before: &WaitBefore,
        _output: Option<&WaitOutput>,
        _want: Expect,
    ) -> OpResult<Verdict> {
        Ok(Verdict::new())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::testing::Bench;

    #[tokio::test(start_paused = true)]
    async fn a_wait_goes_on_where_it_was() {
        let bench = Bench::default();
        let (cx, params, before) = (bench.cx(), Wait::example().unwrap(), WaitBefore {});
        let out = Wait.create(&cx, &params, &before).await.unwrap();
        bench.pass(Duration::from_secs(400));
        let start = Instant::now();
        assert_eq!(Wait.settle(&cx, &params, &before, &out).await.unwrap(), out);
        assert_eq!(start.elapsed(), Duration::from_secs(200));
        assert_eq!(Wait.facts(&params).create_deadline, Duration::from_secs(660));
        let stored = serde_json::to_value(&params).unwrap();
        assert_eq!(stored["for"], "600s");
    }
}
