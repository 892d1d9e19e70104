//! A step without effect: what remains is the engine and the journal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;
use switchback_model::record::Proof;

pub(crate) struct Noop;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// The output of the step before, so that it is known only once that is done.
    #[serde(default)]
    after: u64,
    n: u64,
    /// `capture` gives way once, as one that calls a service does.
    #[serde(default)]
    wait: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    n: u64,
}

impl Operation for Noop {
    const KIND: &'static str = "bench.noop";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = Params;
    type Before = ();
    type Output = Output;

    fn facts(&self, _: &Params) -> Facts {
        Facts::without_effect()
    }

    async fn capture(&self, _: &Cx, p: &Params) -> OpResult<()> {
        if p.wait {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn create(&self, _: &Cx, p: &Params, (): &()) -> OpResult<Output> {
        Ok(Output { n: p.n })
    }

    async fn find(&self, _: &Cx, p: &Params, (): &()) -> OpResult<Found<Output>> {
        Ok(Found::Ours { output: Output { n: p.n }, proof: Proof::Strong })
    }

    async fn rollback(&self, _: &Cx, _: &Params, (): &(), _: &Output) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(&self, _: &Cx, _: &Params, (): &(), _: Option<&Output>, _: Expect) -> OpResult<Verdict> {
        Ok(Verdict::new())
    }
}
