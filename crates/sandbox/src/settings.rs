//! What a sandbox is told when it is made.

use std::time::Duration;

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
    /// Security groups in the region. A new AWS account has 2,500.
    pub security_groups: Option<usize>,
    /// Rules of one security group in one direction. A new AWS account has 60.
    pub rules_per_group: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) account: String,
    pub(crate) region: String,
    /// How long a new resource is pending.
    pub(crate) settle: Duration,
    pub(crate) quotas: Quotas,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: DEFAULT_ACCOUNT.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            settle: Duration::from_millis(50),
            quotas: Quotas::default(),
        }
    }
}

impl Settings {
    /// The availability zones of the region: name and id.
    pub(crate) fn zones(&self) -> Vec<(String, String)> {
        let code: String = self
            .region
            .split('-')
            .map(|word| match word {
                "north" => "n",
                "south" => "s",
                "east" => "e",
                "west" => "w",
                "central" => "c",
                "northeast" => "ne",
                "northwest" => "nw",
                "southeast" => "se",
                "southwest" => "sw",
                "gov" => "g",
                other => other,
            })
            .collect();
        (1..)
            .zip(["a", "b", "c"])
            .map(|(n, letter)| (format!("{}{letter}", self.region), format!("{code}-az{n}")))
            .collect()
    }

    /// An ARN of EC2.
    pub(crate) fn arn(&self, kind: &str, id: &str) -> String {
        format!("arn:aws:ec2:{}:{}:{kind}/{id}", self.region, self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_are_shortened_as_aws_does() {
        let zones = |region: &str| Settings { region: region.into(), ..Settings::default() }.zones();
        assert_eq!(zones("us-east-1")[0], ("us-east-1a".to_owned(), "use1-az1".to_owned()));
        assert_eq!(zones("ap-southeast-2")[2], ("ap-southeast-2c".to_owned(), "apse2-az3".to_owned()));
    }
}
