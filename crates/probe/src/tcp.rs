//! `probe.tcp`: a port takes connections.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::time::Instant;

use crate::http::check_address;
use crate::span::Span;
use crate::web::TcpAsk;

/// The pause between two attempts.
const POLL: Duration = Duration::from_secs(2);
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A port that must take connections. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpParams {
    /// The host and port, `db.internal:5432`.
    pub address: String,
    /// For how long it is tried again.
    pub within: Span,
}

/// There is nothing that a connection could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpBefore {}

/// A probe has no output: what it saw may be otherwise by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpOutput {}

/// `probe.tcp`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl TcpParams {
    fn ask(&self) -> TcpAsk {
        let timeout_ms = u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        TcpAsk::Connect { address: self.address.clone(), timeout_ms }
    }
}

impl Operation for Tcp {
    const KIND: &'static str = "probe.tcp";
    const VERSION: u32 = 1;
    type Params = TcpParams;
    type Before = TcpBefore;
    type Output = TcpOutput;

    fn facts(&self, params: &TcpParams) -> Facts {
        let create_deadline = params.within.time().saturating_add(TIMEOUT * 4);
        Facts { create_deadline, reads: vec!["tcp:GetConnection".into()], ..Facts::without_effect() }
    }

    fn example() -> Option<TcpParams> {
        Some(TcpParams { address: "db.internal:5432".to_owned(), within: Span::seconds(120) })
    }

    fn check(&self, params: &TcpParams) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_address(&params.address, "address", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, _cx: &Cx, _params: &TcpParams) -> OpResult<TcpBefore> {
        Ok(TcpBefore {})
    }

    async fn create(&self, _cx: &Cx, _params: &TcpParams, _before: &TcpBefore) -> OpResult<TcpOutput> {
        Ok(TcpOutput {})
    }

    async fn settle(
        &self,
        cx: &Cx,
        params: &TcpParams,
        _before: &TcpBefore,
        output: &TcpOutput,
    ) -> OpResult<TcpOutput> {
        let end = Instant::now() + params.within.time();
        loop {
            match cx.ask(params.ask()).await {
                Ok(_) => return Ok(output.clone()),
                Err(e) if matches!(e.class, ErrorClass::Permanent | ErrorClass::Unavailable) => return Err(e),
                Err(e) if Instant::now() >= end => {
                    return Err(OpError::permanent(format!("within {}: {}", params.within, e.message)));
                }
                Err(_) => cx.pause(&format!("waiting until {} takes connections", params.address), POLL).await?,
            }
        }
    }

    async fn find(&self, _cx: &Cx, _params: &TcpParams, _before: &TcpBefore) -> OpResult<Found<TcpOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &TcpParams,
        _before: &TcpBefore,
        _output: &TcpOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &TcpParams,
        _before: &TcpBefore,
        _output: Option<&TcpOutput>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if want == Expect::RolledBack {
            return Ok(Verdict::new());
        }
        let answer = cx.ask(params.ask()).await?;
        let mut verdict = Verdict::new().compare(format!("{} takes connections", params.address), true, true);
        verdict.observed = json!({"address": params.address, "peer": answer.peer});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use switchback_engine::operation::BoxFuture;
    use switchback_engine::remote::Remote;

    use super::*;
    use crate::testing::Bench;
    use crate::web::TcpAnswer;

    /// Takes connections after so many refusals.
    struct After(AtomicU32);

    impl Remote<TcpAsk> for After {
        fn ask<'a>(&'a self, _: &'a Cx, _: TcpAsk) -> BoxFuture<'a, OpResult<TcpAnswer>> {
            let left = self.0.load(Ordering::Relaxed);
            self.0.store(left.saturating_sub(1), Ordering::Relaxed);
            Box::pin(std::future::ready(match left {
                0 => Ok(TcpAnswer { peer: "127.0.0.1:1".to_owned() }),
                _ => Err(OpError::new(ErrorClass::Transient, "refused")),
            }))
        }
    }

    async fn settle(refusals: u32) -> (OpResult<TcpOutput>, usize) {
        let bench = Bench::answered(After(AtomicU32::new(refusals)));
        let settled = Tcp.settle(&bench.cx(), &Tcp::example().unwrap(), &TcpBefore {}, &TcpOutput {}).await;
        (settled, bench.calls().len())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_again_for_so_long() {
        assert_eq!(settle(3).await, (Ok(TcpOutput {}), 4));
        let (refused, calls) = settle(1000).await;
        assert_eq!((refused.unwrap_err().message.as_str(), calls), ("within 120s: refused", 61));
    }

    #[test]
    fn an_address_has_a_port() {
        assert!(Tcp.check(&Tcp::example().unwrap()).is_ok());
        for bad in ["db", "db:", "db:0", ":5432", "db:70000", "::1:5432"] {
            let params = TcpParams { address: bad.to_owned(), ..Tcp::example().unwrap() };
            assert_eq!(Tcp.check(&params).unwrap_err()[0].path, ["address"], "{bad}");
        }
    }
}
