//! `probe.postgres`: a query, and what its answer must be.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::cel;
use switchback_engine::operation::ParamError;
use switchback_engine::runbook::parse_duration;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::time::Instant;

use super::ask::{PgAnswer, PgAsk, RowSource};
use super::connection::{self, Connection};
use super::unexpected;

/// How many rows are looked at.
const MOST_ROWS: u32 = 1_000;
/// The first pause between two looks.
const POLL: Duration = Duration::from_secs(1);

/// A query on a database, and what must be true of its answer. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The database, and who asks.
    pub connection: Connection,
    /// What is asked. It can change nothing.
    pub query: String,
    /// What must be true, in CEL: `rows` are the first 1000 rows as maps, `value` is the one column of the first row.
    pub expect: String,
    /// How long to wait until it is: `5m`. Without it, it must be so at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// There is nothing that a probe could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {}

/// A probe has no output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probe;

impl Params {
    fn within(&self) -> Duration {
        self.within.as_deref().and_then(parse_duration).unwrap_or_default()
    }
}

/// What the server answers, and whether that is as expected.
async fn look(cx: &Cx, params: &Params) -> OpResult<(bool, Value)> {
    let ask = PgAsk::GetRows {
        on: params.connection.clone(),
        from: RowSource::Query(params.query.clone()),
        cursor: None,
        // One more, so that nothing is left open when there are as many.
        limit: MOST_ROWS + 1,
    };
    let rows = match cx.ask(ask).await? {
        PgAnswer::Rows { rows, .. } => rows,
        other => return Err(unexpected("GetRows", &other)),
    };
    let most = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    let rows = rows.iter().take(most).map(|row| serde_json::from_str(row)).collect::<Result<Vec<Value>, _>>();
    let rows = rows.map_err(|e| OpError::permanent(format!("a row is not JSON: {e}")))?;
    let first = rows.first().and_then(Value::as_object).filter(|row| row.len() == 1);
    let value = first.and_then(|row| row.values().next()).cloned().unwrap_or(Value::Null);
    let program = cel::compile(&params.expect).map_err(|e| OpError::permanent(e.to_string()))?;
    let rows = Value::Array(rows);
    let holds = cel::eval_bool(&program, &[("rows", &rows), ("value", &value)]);
    let holds = holds.map_err(|why| OpError::permanent(format!("`{}` cannot be decided: {why}", params.expect)))?;
    let observed = json!({"value": value, "rows": rows.as_array().map_or(0, Vec::len)});
    Ok((holds, observed))
}

impl Operation for Probe {
    const KIND: &'static str = "probe.postgres";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        Facts {
            reads: vec!["postgresql:GetRows".into()],
            create_deadline: params.within() + Duration::from_secs(5 * 60),
            ..Facts::without_effect()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            connection: connection::example("app"),
            query: "SELECT count(*) FROM core.agents".to_owned(),
            expect: "value >= 0".to_owned(),
            within: Some("5m".to_owned()),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.connection.check(&mut errors);
        if params.query.trim().is_empty() {
            errors.push(ParamError::new("query", "is empty"));
        }
        match cel::compile(&params.expect) {
            Err(e) => errors.push(ParamError::new("expect", e.to_string())),
            Ok(program) if !program.variables().iter().any(|name| name == "rows" || name == "value") => {
                errors.push(ParamError::new("expect", "looks at neither `rows` nor `value`"));
            }
            Ok(_) => {}
        }
        if params.within.as_deref().is_some_and(|text| parse_duration(text).is_none()) {
            errors.push(ParamError::new("within", "is a time such as `30s`, `5m` or `1h30m`"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Before> {
        Ok(Before {})
    }

    async fn create(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Output> {
        Ok(Output {})
    }

    /// Waits; that the time is over is for `verify` to say.
    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, output: &Output) -> OpResult<Output> {
        let end = Instant::now() + params.within();
        let holds = || async {
            match look(cx, params).await {
                Ok((true, _)) => Ok(Some(())),
                Err(e) if !matches!(e.class, ErrorClass::Transient | ErrorClass::Busy) => Err(e),
                _ if Instant::now() >= end => Ok(Some(())),
                _ => Ok(None),
            }
        };
        cx.wait_for(&format!("waiting until {}", params.expect), POLL, holds).await?;
        Ok(output.clone())
    }

    async fn find(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        Ok(Found::Absent)
    }

    async fn rollback(&self, _cx: &Cx, _params: &Params, _before: &Before, _out: &Output) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if want == Expect::RolledBack {
            return Ok(Verdict::new());
        }
        let (holds, observed) = look(cx, params).await?;
        let mut verdict = Verdict::new().compare(params.expect.as_str(), true, holds);
        verdict.observed = observed;
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decided_is_refused() {
        let params = || Probe::example().unwrap();
        let wrong = |params: &Params| Probe.check(params).err().map_or(0, |e| e.len());
        assert_eq!(wrong(&params()), 0);
        assert_eq!(wrong(&Params { expect: "1 == 1".into(), ..params() }), 1);
        assert_eq!(wrong(&Params { expect: "value ==".into(), query: " ".into(), ..params() }), 2);
        assert_eq!(wrong(&Params { within: Some("soon".into()), ..params() }), 1);
    }
}
