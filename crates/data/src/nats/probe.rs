//! `probe.nats`: a message that is published comes back.
//!
//! It leaves nothing behind, unless a stream keeps what is published under the subject: choose one that none does.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpResult, facts::ProofKind};

use super::ask::{NatsAsk, Server, check_subject};

/// How long one message may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The first pause between two attempts.
const POLL: Duration = Duration::from_secs(1);
/// How long all attempts may take together.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// A message, published under a subject of a NATS server and received there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The NATS server.
    pub server: Server,
    /// The subject; one that no stream keeps and nobody acts on.
    #[serde(default = "subject")]
    pub subject: String,
}

fn subject() -> String {
    "switchback.probe".to_owned()
}

/// Nothing was there, and nothing is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Whether the message came back.
    pub received: bool,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probe;

impl Operation for Probe {
    const KIND: &'static str = "probe.nats";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, _params: &Params) -> Facts {
        Facts {
            create_deadline: DEADLINE,
            proof: ProofKind::Strong,
            // A stream may keep what comes late: no run ends while a message may be on its way.
            quiet: switchback_aws::QUIET,
            settles: vec!["nats:PublishAndReceive".into()],
            ..Facts::without_effect()
        }
    }

    fn example() -> Option<Params> {
        Some(Params { server: Server::at("nats://nats.example.com:4222"), subject: subject() })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.server.check(&mut errors);
        check_subject("subject", &params.subject, false, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Before> {
        Ok(Before {})
    }

    async fn create(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Output> {
        Ok(Output { received: false })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, _output: &Output) -> OpResult<Output> {
        let ask = NatsAsk::PublishAndReceive {
            server: params.server.clone(),
            subject: params.subject.clone(),
            payload: format!("{}/{}/{}", cx.run(), cx.step().as_tag_value(), cx.generation()),
            within_ms: u64::try_from(WITHIN.as_millis()).unwrap_or(u64::MAX),
        };
        let attempt = || async { Ok(cx.ask(ask.clone()).await?.into_received()?.then_some(())) };
        let waiting_for = format!("waiting until a message under `{}` comes back", params.subject);
        cx.wait_for(&waiting_for, POLL, attempt).await?;
        Ok(Output { received: true })
    }

    async fn find(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        Ok(Found::Absent)
    }

    async fn rollback(&self, _cx: &Cx, _params: &Params, _before: &Before, _output: &Output) -> OpResult<Undo> {
        // Nothing is there that could be looked for again: a message that was answered is over.
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        _cx: &Cx,
        _params: &Params,
        _before: &Before,
        output: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let verdict = Verdict::new();
        Ok(match want {
            // It was seen in `settle`: to see it again would publish again.
            Expect::Created => verdict.compare("received", true, output.is_some_and(|o| o.received)),
            Expect::RolledBack => verdict,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_names_a_server_and_one_subject() {
        let example = Probe::example().unwrap();
        Probe.check(&example).unwrap();
        let all = Params { subject: "a.*".into(), ..example };
        assert_eq!(Probe.check(&all).unwrap_err()[0].path, ["subject"]);
    }
}
