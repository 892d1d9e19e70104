//! What a sandbox is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use crate::database::Database;

/// The account that a sandbox plays when it is not told another one.
pub const DEFAULT_ACCOUNT: &str = "123456789012";
/// The region that a sandbox plays when it is not told another one.
pub const DEFAULT_REGION: &str = "us-east-1";

/// How many there may be. `None`, the default, is no limit: tests run many worlds in one sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// VPCs in the region. A new AWS account has 5.
    pub vpcs: Option<usize>,
    /// Subnets in one VPC. A new AWS account has 200.
    pub subnets_per_vpc: Option<usize>,
    /// Internet gateways in the region. A new AWS account has 5.
    pub internet_gateways: Option<usize>,
    /// Elastic IP addresses in the region. A new AWS account has 5.
    pub elastic_ips: Option<usize>,
    /// Security groups in the region. A new AWS account has 2,500.
    pub security_groups: Option<usize>,
    /// Rules of one security group in one direction. A new AWS account has 60.
    pub rules_per_group: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) account: String,
    pub(crate) region: String,
    /// How long a new resource is pending, and an IAM change is not seen.
    pub(crate) settle: Duration,
    /// How long what is slow in AWS takes: databases, NAT gateways, endpoints. As long as `settle` by default.
    pub(crate) slow: Option<Duration>,
    /// Whether a role that was made just now cannot be read for as long as `settle`.
    pub(crate) iam_lag: bool,
    /// The host name of every load balancer, instead of one that AWS would give it.
    pub(crate) balancer_host: Option<String>,
    /// How many items of a `BatchWriteItem` are written; the others are given back as unprocessed. All by default.
    pub(crate) batch: Option<usize>,
    pub(crate) quotas: Quotas,
    /// Where clusters really listen; `None`: nowhere.
    pub(crate) database: Option<Arc<Database>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: DEFAULT_ACCOUNT.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            settle: Duration::from_millis(50),
            slow: None,
            iam_lag: false,
            balancer_host: None,
            batch: None,
            quotas: Quotas::default(),
            database: None,
        }
    }
}

impl Settings {
    /// How long what is slow in AWS takes.
    pub(crate) fn slow(&self) -> Duration {
        self.slow.unwrap_or(self.settle)
    }
}
