//! `probe.rds_cluster_endpoints`: a DB cluster can be reached.
//!
//! A cluster has an endpoint for its writer as soon as it has one, and one for its readers. Both are `available`
//! when they lead somewhere.

use std::time::Duration;

use aws_sdk_rds::types::DbClusterEndpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_aws::errors::{Call, op_error};
use switchback_aws::ids::DbClusterIdentifier;
use switchback_aws::{AwsContext, patiently};
use switchback_engine::operation::ParamError;
use switchback_engine::runbook::parse_duration;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;

/// The call that it makes.
const CALL: &str = "rds:DescribeDBClusterEndpoints";
/// The first pause between two looks.
const POLL: Duration = Duration::from_secs(1);
/// How long it waits when it is not told.
const WITHIN: Duration = Duration::from_secs(5 * 60);
/// For the reads that come after the wait.
const SPARE: Duration = Duration::from_secs(60);

/// Waits until a DB cluster can be reached. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RdsClusterEndpointsParams {
    /// The cluster (`DescribeDBClusterEndpoints` DBClusterIdentifier).
    pub db_cluster_identifier: DbClusterIdentifier,
    /// Whether the endpoint of the readers must be available too.
    #[serde(default)]
    pub reader: bool,
    /// How long it may take, `5m`; 5 minutes when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// There is nothing that a probe could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdsClusterEndpointsBefore {}

/// What later steps may refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RdsClusterEndpointsOutput {
    /// The host name of the writer; empty until it is there.
    #[serde(default)]
    pub writer_endpoint: String,
    /// The host name of the readers; empty when there is none.
    #[serde(default)]
    pub reader_endpoint: String,
}

/// `probe.rds_cluster_endpoints`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RdsClusterEndpoints;

impl RdsClusterEndpointsParams {
    fn within(&self) -> Duration {
        self.within.as_deref().and_then(parse_duration).unwrap_or(WITHIN)
    }

    fn wanted(&self) -> Vec<&'static str> {
        if self.reader { vec!["READER", "WRITER"] } else { vec!["WRITER"] }
    }

    /// Of the wanted ones, those that are available.
    fn available(&self, all: &[DbClusterEndpoint]) -> Vec<&'static str> {
        let is = |kind: &str| all.iter().any(|it| it.endpoint_type() == Some(kind) && it.status() == Some("available"));
        self.wanted().into_iter().filter(|kind| is(kind)).collect()
    }
}

/// The endpoints that RDS gives to the cluster, not those that people add.
async fn endpoints(cx: &Cx, cluster: &str) -> OpResult<Vec<DbClusterEndpoint>> {
    let client = cx.get::<AwsContext>()?.rds(cx);
    let pages = client.describe_db_cluster_endpoints().db_cluster_identifier(cluster).into_paginator().items().send();
    pages.try_collect().await.map_err(|e| op_error(Call::new(CALL, cluster), e))
}

/// The same of a cluster that may have been made a moment ago.
async fn seen(cx: &Cx, cluster: &str) -> OpResult<Vec<DbClusterEndpoint>> {
    match endpoints(cx, cluster).await {
        Err(e) if switchback_aws::errors::is_not_found(&e) => Ok(Vec::new()),
        other => other,
    }
}

fn output(all: &[DbClusterEndpoint]) -> RdsClusterEndpointsOutput {
    let of = |kind: &str| {
        let it = all.iter().find(|it| it.endpoint_type() == Some(kind));
        it.and_then(|it| it.endpoint()).unwrap_or_default().to_owned()
    };
    RdsClusterEndpointsOutput { writer_endpoint: of("WRITER"), reader_endpoint: of("READER") }
}

impl Operation for RdsClusterEndpoints {
    const KIND: &'static str = "probe.rds_cluster_endpoints";
    const VERSION: u32 = 1;
    type Params = RdsClusterEndpointsParams;
    type Before = RdsClusterEndpointsBefore;
    type Output = RdsClusterEndpointsOutput;

    fn facts(&self, params: &RdsClusterEndpointsParams) -> Facts {
        Facts {
            reads: vec![CALL.into()],
            create_deadline: params.within().saturating_add(SPARE),
            ..Facts::without_effect()
        }
    }

    fn example() -> Option<RdsClusterEndpointsParams> {
        Some(RdsClusterEndpointsParams {
            db_cluster_identifier: DbClusterIdentifier::new("app"),
            reader: true,
            within: Some("10m".to_owned()),
        })
    }

    fn check(&self, params: &RdsClusterEndpointsParams) -> Result<(), Vec<ParamError>> {
        match params.within.as_deref().map(parse_duration) {
            Some(None) => Err(vec![ParamError::new("within", "write a duration such as `90s`, `5m` or `1h30m`")]),
            _ => Ok(()),
        }
    }

    async fn capture(&self, _cx: &Cx, _params: &RdsClusterEndpointsParams) -> OpResult<RdsClusterEndpointsBefore> {
        Ok(RdsClusterEndpointsBefore {})
    }

    async fn create(
        &self,
        _cx: &Cx,
        _params: &RdsClusterEndpointsParams,
        _before: &RdsClusterEndpointsBefore,
    ) -> OpResult<RdsClusterEndpointsOutput> {
        Ok(RdsClusterEndpointsOutput::default())
    }

    async fn settle(
        &self,
        cx: &Cx,
        params: &RdsClusterEndpointsParams,
        _before: &RdsClusterEndpointsBefore,
        _output: &RdsClusterEndpointsOutput,
    ) -> OpResult<RdsClusterEndpointsOutput> {
        let cluster = params.db_cluster_identifier.as_str();
        let look = || async {
            let all = seen(cx, cluster).await?;
            Ok((params.available(&all) == params.wanted()).then(|| output(&all)))
        };
        cx.wait_for(&format!("waiting until DB cluster `{cluster}` can be reached"), POLL, look).await
    }

    async fn find(
        &self,
        _cx: &Cx,
        _params: &RdsClusterEndpointsParams,
        _before: &RdsClusterEndpointsBefore,
    ) -> OpResult<Found<RdsClusterEndpointsOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &RdsClusterEndpointsParams,
        _before: &RdsClusterEndpointsBefore,
        _output: &RdsClusterEndpointsOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &RdsClusterEndpointsParams,
        _before: &RdsClusterEndpointsBefore,
        _output: Option<&RdsClusterEndpointsOutput>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if want == Expect::RolledBack {
            return Ok(Verdict::new());
        }
        // Reads lag behind what `settle` has seen.
        let cluster = params.db_cluster_identifier.as_str();
        let waiting_for = format!("waiting until the endpoints of DB cluster `{cluster}` can be seen");
        let is_right = |all: &Vec<DbClusterEndpoint>| params.available(all) == params.wanted();
        let all = patiently(cx, &waiting_for, || seen(cx, cluster), is_right).await?;
        let (wanted, there) = (params.wanted(), params.available(&all));
        let mut verdict = Verdict::new().compare("available endpoints", json!(wanted), json!(there));
        let endpoint = |it: &DbClusterEndpoint| json!({"type": it.endpoint_type(), "endpoint": it.endpoint(), "status": it.status()});
        verdict.observed = json!({"endpoints": all.iter().map(endpoint).collect::<Vec<Value>>()});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(kind: &str, status: &str) -> DbClusterEndpoint {
        DbClusterEndpoint::builder().endpoint_type(kind).status(status).endpoint(format!("{kind}.host")).build()
    }

    #[test]
    fn what_is_wanted_must_be_available() {
        let params = |reader| RdsClusterEndpointsParams { reader, ..RdsClusterEndpoints::example().unwrap() };
        let one = [endpoint("WRITER", "available"), endpoint("READER", "inactive"), endpoint("CUSTOM", "available")];
        assert_eq!(params(false).available(&one), params(false).wanted());
        assert_ne!(params(true).available(&one), params(true).wanted());
        let both = [endpoint("READER", "available"), endpoint("WRITER", "available")];
        assert_eq!(params(true).available(&both), params(true).wanted());
        assert_eq!(output(&both).writer_endpoint, "WRITER.host");
    }

    #[test]
    fn the_deadline_follows_what_is_asked_for() {
        let with = |within: Option<&str>| RdsClusterEndpointsParams {
            within: within.map(str::to_owned),
            ..RdsClusterEndpoints::example().unwrap()
        };
        let facts = |within| RdsClusterEndpoints.facts(&with(within));
        assert_eq!(facts(Some("20m")).create_deadline, Duration::from_secs(21 * 60));
        assert_eq!(facts(None).create_deadline, Duration::from_secs(6 * 60));
        assert!(facts(None).creates.is_empty());
        assert!(RdsClusterEndpoints.check(&with(Some("soon"))).is_err());
        assert!(RdsClusterEndpoints.check(&with(Some("90s"))).is_ok());
    }
}
