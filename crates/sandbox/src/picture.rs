//! What the emulator holds, read into plain types: the only thing that rules decide on.
//!
//! A picture is not a model of the world: it is taken from the emulator after every write and never written to. What
//! is not needed for a decision, a describe call or the report is left out. Each service has a section of its own; a
//! write replaces the section that it touched and shares the others.

pub(crate) mod backup;
pub(crate) mod cloudwatch;
pub(crate) mod dynamodb;
pub(crate) mod ec2;
pub(crate) mod ecr;
pub(crate) mod ecs;
pub(crate) mod elb;
pub(crate) mod iam;
pub(crate) mod kms;
pub(crate) mod lambda;
pub(crate) mod logs;
pub(crate) mod rds;
pub(crate) mod s3;
pub(crate) mod secrets;
pub(crate) mod servicediscovery;
pub(crate) mod sns;
pub(crate) mod ssm;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::query::Tags;

/// Everything that exists in one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    pub(crate) dynamodb: Arc<dynamodb::DynamoDb>,
    pub(crate) cloudwatch: Arc<cloudwatch::CloudWatch>,
    pub(crate) ec2: Arc<ec2::Ec2>,
    pub(crate) ecr: Arc<ecr::Ecr>,
    pub(crate) ecs: Arc<ecs::Ecs>,
    pub(crate) elb: Arc<elb::Elb>,
    pub(crate) iam: Arc<iam::Iam>,
    pub(crate) kms: Arc<kms::Kms>,
    pub(crate) logs: Arc<logs::Logs>,
    pub(crate) rds: Arc<rds::Rds>,
    pub(crate) secrets: Arc<secrets::Secrets>,
    pub(crate) discovery: Arc<servicediscovery::Discovery>,
    pub(crate) ssm: Arc<ssm::Ssm>,
    pub(crate) sns: Arc<sns::Sns>,
    pub(crate) s3: Arc<s3::S3>,
    pub(crate) lambda: Arc<lambda::Lambda>,
    pub(crate) backup: Arc<backup::Backup>,
}

impl Picture {
    /// Everything outside of EC2, by ARN.
    pub(crate) fn things(&self) -> BTreeMap<&str, Thing<'_>> {
        let mut all = BTreeMap::new();
        for part in self.parts() {
            (part.things)(self, &mut all);
        }
        all
    }

    /// The services outside of EC2, each by itself.
    pub(crate) fn parts(&self) -> [Part; 16] {
        macro_rules! parts {
            ($($service:ident),*) => {
                [$(Part {
                    place: Arc::as_ptr(&self.$service).cast::<()>() as usize,
                    things: |picture, all| picture.$service.things(all),
                }),*]
            };
        }
        parts!(
            cloudwatch, ecr, dynamodb, ecs, elb, iam, kms, logs, rds, secrets, discovery, ssm, sns, s3, lambda, backup
        )
    }
}

/// One service of a picture.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// Another one for another state of it, as long as both are kept.
    pub(crate) place: usize,
    /// Adds what it holds.
    pub(crate) things: for<'a> fn(&'a Picture, &mut BTreeMap<&'a str, Thing<'a>>),
}

/// A resource of any service that names its resources by ARN: for the report, for the tagging API, and to know
/// whether a note is still about something.
#[derive(Debug, Clone)]
pub(crate) struct Thing<'a> {
    /// As in the report: `db-cluster`.
    pub(crate) kind: &'static str,
    pub(crate) stage: Stage,
    pub(crate) tags: &'a Tags,
    pub(crate) attributes: BTreeMap<&'static str, Value>,
}

/// Whether a thing counts as something that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It does.
    Here,
    /// AWS made it by itself.
    Default,
    /// It was deleted and AWS goes on showing it: an INACTIVE cluster, a key that waits for its deletion.
    Residue,
}

impl<'a> Thing<'a> {
    pub(crate) fn new(kind: &'static str, tags: &'a Tags) -> Self {
        Self { kind, stage: Stage::Here, tags, attributes: BTreeMap::new() }
    }

    /// With one attribute more; nothing that changes by itself and nothing secret.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name, value.into());
        self
    }

    /// It was deleted, if so.
    pub(crate) fn residue(mut self, is: bool) -> Self {
        if is {
            self.stage = Stage::Residue;
        }
        self
    }

    /// AWS made it, if so.
    pub(crate) fn made_by_aws(mut self, is: bool) -> Self {
        if is {
            self.stage = Stage::Default;
        }
        self
    }
}
