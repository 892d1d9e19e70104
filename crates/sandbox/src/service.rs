//! The services that the sandbox stands in for: their names, and how each speaks on the wire.
//!
//! What the pinned SDKs and the AWS CLI send was looked up in them: the query protocol or JSON 1.1, never CBOR.

/// One service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Ec2,
    Sts,
    Iam,
    Rds,
    Ecs,
    Ecr,
    Logs,
    Kms,
    SecretsManager,
    CloudMap,
    Ssm,
    Tagging,
}

/// How calls, replies and errors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Parameters in form encoding, replies in EC2's own XML.
    Ec2Query,
    /// Parameters in form encoding, replies in XML.
    Query,
    /// JSON both ways, the action in the header `X-Amz-Target`.
    Json,
}

impl Service {
    /// All of them.
    pub(crate) const ALL: [Self; 12] = [
        Self::Ec2,
        Self::Sts,
        Self::Iam,
        Self::Rds,
        Self::Ecs,
        Self::Ecr,
        Self::Logs,
        Self::Kms,
        Self::SecretsManager,
        Self::CloudMap,
        Self::Ssm,
        Self::Tagging,
    ];

    /// By the name in a credential scope.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The name in a credential scope, in ARNs and in policies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::Rds => "rds",
            Self::Ecs => "ecs",
            Self::Ecr => "ecr",
            Self::Logs => "logs",
            Self::Kms => "kms",
            Self::SecretsManager => "secretsmanager",
            Self::CloudMap => "servicediscovery",
            Self::Ssm => "ssm",
            Self::Tagging => "tagging",
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Ec2 => Protocol::Ec2Query,
            Self::Sts | Self::Iam | Self::Rds => Protocol::Query,
            Self::Ecs | Self::Ecr | Self::Logs | Self::Kms | Self::SecretsManager | Self::Tagging => Protocol::Json,
            Self::CloudMap | Self::Ssm => Protocol::Json,
        }
    }

    /// The namespace of its XML; empty where it writes JSON.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Rds => "http://rds.amazonaws.com/doc/2014-10-31/",
            _ => "",
        }
    }

    /// What stands before the action in `X-Amz-Target`; empty where there is no such header.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Ecs => "AmazonEC2ContainerServiceV20141113",
            Self::Ecr => "AmazonEC2ContainerRegistry_V20150921",
            Self::Logs => "Logs_20140328",
            Self::Kms => "TrentService",
            Self::SecretsManager => "secretsmanager",
            Self::CloudMap => "Route53AutoNaming_v20170314",
            Self::Ssm => "AmazonSSM",
            Self::Tagging => "ResourceGroupsTaggingAPI_20170126",
            _ => "",
        }
    }

    /// Whether an account has one of it, whatever the region.
    pub(crate) fn is_global(self) -> bool {
        matches!(self, Self::Iam | Self::Sts)
    }

    /// The parameter that makes a repeated call one call, where the service has the same one on all its calls.
    pub(crate) fn token(self) -> Option<&'static str> {
        match self {
            Self::Ec2 => Some("ClientToken"),
            Self::Ecs => Some("clientToken"),
            Self::CloudMap => Some("CreatorRequestId"),
            // Secrets Manager's ClientRequestToken is the id of a version: its own rules see to it.
            _ => None,
        }
    }
}
