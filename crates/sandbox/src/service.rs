//! The services that the sandbox stands in for: their names, and how each speaks on the wire.
//!
//! What the pinned SDKs and the AWS CLI send was looked up in them: the query protocol, JSON 1.1 or REST. The SDK speaks
//! to CloudWatch in CBOR, which is JSON in here (`cbor`).

/// One service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Ec2,
    Sts,
    Iam,
    Rds,
    Ecs,
    Ecr,
    Elb,
    DynamoDb,
    Logs,
    CloudWatch,
    Sns,
    Kms,
    SecretsManager,
    CloudMap,
    Ssm,
    S3,
    Lambda,
    Backup,
    Tagging,
    /// Of a model: files on the operator's machine.
    File,
    /// Likewise: commands there.
    Command,
    /// Likewise: databases.
    Postgresql,
    /// Of a model: NATS servers.
    Nats,
    /// Of a model: container images.
    Registry,
    /// Likewise: web servers.
    Http,
    /// Likewise: ports.
    Tcp,
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
    /// The action in method and path, bodies in JSON.
    RestJson,
    /// The action in method and path, bodies in XML or whatever an object holds.
    RestXml,
}

impl Protocol {
    /// Whether method and path say what is asked for: see [`crate::rest`].
    pub(crate) fn is_rest(self) -> bool {
        matches!(self, Self::RestJson | Self::RestXml)
    }
}

impl Service {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Ec2,
        Self::Sts,
        Self::Iam,
        Self::Rds,
        Self::Ecs,
        Self::Ecr,
        Self::Elb,
        Self::DynamoDb,
        Self::Logs,
        Self::CloudWatch,
        Self::Sns,
        Self::Kms,
        Self::SecretsManager,
        Self::CloudMap,
        Self::Ssm,
        Self::S3,
        Self::Lambda,
        Self::Backup,
        Self::Tagging,
        Self::File,
        Self::Command,
        Self::Postgresql,
        Self::Nats,
        Self::Registry,
        Self::Http,
        Self::Tcp,
    ];

    /// By the name in a credential scope.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|service| service.name() == name)
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
            Self::Elb => "elasticloadbalancing",
            Self::DynamoDb => "dynamodb",
            Self::Logs => "logs",
            Self::CloudWatch => "cloudwatch",
            Self::Sns => "sns",
            Self::Kms => "kms",
            Self::SecretsManager => "secretsmanager",
            Self::CloudMap => "servicediscovery",
            Self::Ssm => "ssm",
            Self::S3 => "s3",
            Self::Lambda => "lambda",
            Self::Backup => "backup",
            Self::Tagging => "tagging",
            Self::File => "file",
            Self::Command => "command",
            Self::Postgresql => "postgresql",
            Self::Nats => "nats",
            Self::Registry => "registry",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Ec2 => Protocol::Ec2Query,
            Self::Sts | Self::Iam | Self::Rds | Self::Elb | Self::Sns => Protocol::Query,
            Self::S3 => Protocol::RestXml,
            Self::Lambda | Self::Backup => Protocol::RestJson,
            _ => Protocol::Json,
        }
    }

    /// The namespace of its XML; empty where it writes JSON.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Elb => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Self::Rds => "http://rds.amazonaws.com/doc/2014-10-31/",
            Self::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
            Self::S3 => "http://s3.amazonaws.com/doc/2006-03-01/",
            _ => "",
        }
    }

    /// What stands before the action in `X-Amz-Target`; empty where there is no such header.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Ecs => "AmazonEC2ContainerServiceV20141113",
            Self::Ecr => "AmazonEC2ContainerRegistry_V20150921",
            Self::Logs => "Logs_20140328",
            Self::DynamoDb => "DynamoDB_20120810",
            Self::CloudWatch => "GraniteServiceVersion20100801",
            Self::Kms => "TrentService",
            Self::SecretsManager => "secretsmanager",
            Self::CloudMap => "Route53AutoNaming_v20170314",
            Self::Ssm => "AmazonSSM",
            Self::Tagging => "ResourceGroupsTaggingAPI_20170126",
            _ => "",
        }
    }

    /// Whether it is not AWS's: a model answers.
    pub(crate) fn is_modelled(self) -> bool {
        matches!(
            self,
            Self::File | Self::Command | Self::Http | Self::Nats | Self::Postgresql | Self::Registry | Self::Tcp
        )
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
            // Of jobs. Vaults and plans have another one, which nobody needs: they have names.
            Self::Backup => Some("IdempotencyToken"),
            // Secrets Manager's ClientRequestToken is the id of a version: its own rules see to it.
            _ => None,
        }
    }
}
