//! Where a call takes effect: an account and a region.
//!
//! The account follows from the access key id, the region from the credential scope. What is global in AWS has one
//! place an account, with the region [`GLOBAL`].

use crate::service::Service;
use crate::settings::Settings;

/// The region of what has none.
pub(crate) const GLOBAL: &str = "global";

/// The regions that AWS has, besides the one that the sandbox was told to play.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// An account and a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Place {
    pub(crate) fn new(account: &str, region: &str) -> Self {
        Self { account: account.to_owned(), region: region.to_owned() }
    }

    /// Where a call to this service goes. `None` when there is no such region.
    pub(crate) fn of(settings: &Settings, service: Service, access_key: &str, region: &str) -> Option<Self> {
        let known = region == settings.region || REGIONS.contains(&region);
        let account = account_of(access_key).unwrap_or(&settings.account);
        match service.is_global() {
            true if known || region == "aws-global" => Some(Self::new(account, GLOBAL)),
            false if known => Some(Self::new(account, region)),
            _ => None,
        }
    }

    /// The place of the same account where IAM is.
    pub(crate) fn global(&self) -> Self {
        Self::new(&self.account, GLOBAL)
    }

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

    /// An ARN of this place: `arn:aws:SERVICE:REGION:ACCOUNT:REST`; without the region where there is none.
    pub(crate) fn arn(&self, service: Service, rest: &str) -> String {
        let region = if self.region == GLOBAL { "" } else { &self.region };
        format!("arn:aws:{}:{region}:{}:{rest}", service.name(), self.account)
    }

    /// Where the counting of ids starts: ids of two places do not meet, and the same place has the same ids again.
    pub(crate) fn first_id(&self, settings: &Settings) -> u32 {
        if self.account == settings.account && self.region == settings.region {
            return 0;
        }
        let name = self.account.bytes().chain(self.region.bytes());
        let hash = name.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        ((hash >> 20) | 1) << 20
    }
}

/// The account that an access key id belongs to: twelve digits are an account, and temporary credentials carry theirs.
/// `None` for all others, which are of the sandbox's own account.
pub(crate) fn account_of(access_key: &str) -> Option<&str> {
    let digits = match access_key.strip_prefix(TEMPORARY) {
        Some(rest) => rest.get(..12)?,
        None if access_key.len() == 12 => access_key,
        None => return None,
    };
    digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(digits)
}

/// How the access key ids of temporary credentials start.
pub(crate) const TEMPORARY: &str = "ASIA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_are_shortened_as_aws_does() {
        let zones = |region: &str| Place::new("123456789012", region).zones();
        assert_eq!(zones("us-east-1")[0], ("us-east-1a".to_owned(), "use1-az1".to_owned()));
        assert_eq!(zones("ap-southeast-2")[2], ("ap-southeast-2c".to_owned(), "apse2-az3".to_owned()));
    }

    #[test]
    fn keys_lead_to_accounts() {
        for (key, account) in [
            ("111122223333", Some("111122223333")),
            ("ASIA1111222233330001", Some("111122223333")),
            ("AKIASANDBOXSANDBOX00", None),
            ("11112222333x", None),
            ("1111222233334", None),
            ("ASIAX", None),
        ] {
            assert_eq!(account_of(key), account, "{key}");
        }
    }

    #[test]
    fn regions_are_known_or_refused() {
        let settings = Settings { region: "eu-test-9".into(), ..Settings::default() };
        let place = |service, region| Place::of(&settings, service, "111122223333", region);
        assert_eq!(place(Service::Ec2, "eu-test-9"), Some(Place::new("111122223333", "eu-test-9")));
        assert_eq!(place(Service::Ec2, "eu-west-1"), Some(Place::new("111122223333", "eu-west-1")));
        assert_eq!(place(Service::Iam, "eu-west-1"), Some(Place::new("111122223333", GLOBAL)));
        assert_eq!(place(Service::Iam, "aws-global"), Some(Place::new("111122223333", GLOBAL)));
        for service in Service::ALL {
            assert_eq!(place(*service, "xx-bad-1"), None);
        }
    }
}
