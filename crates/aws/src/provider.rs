//! AWS as a whole: who is calling, may it do what the plan needs, and what is left of a run.

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use switchback_engine::Operation;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::{CallLog, Identity, Provider};
use switchback_model::plan::{Plan, PlanStep, Target};
use switchback_model::record::Leftover;
use switchback_model::{ErrorClass, OpError, OpResult, RunId};

use crate::context::AwsContext;
use crate::ec2;
use crate::ec2::subnet::Subnet;
use crate::errors::{Call, LOGIN, op_error};
use crate::sweep;

/// AWS, as the target of one plan.
#[derive(Debug, Clone)]
pub struct AwsProvider {
    name: String,
    context: AwsContext,
    account: String,
    tag_prefix: String,
    makes_subnets: bool,
    beyond_ec2: bool,
}

impl AwsProvider {
    /// The account that the plan wants, reached through the context. `tag_prefix` is that of the
    /// ownership tags, `switchback` by default.
    #[must_use]
    pub fn new(context: AwsContext, account: impl Into<String>, tag_prefix: impl Into<String>) -> Self {
        Self {
            name: Target::AWS.to_owned(),
            context,
            account: account.into(),
            tag_prefix: tag_prefix.into(),
            makes_subnets: false,
            beyond_ec2: true,
        }
    }

    /// As the target of that name in the plan, `aws.west`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sweeps only where this plan can have left anything: a caller who may use EC2 and nothing else
    /// needs no permission to list the rest.
    #[must_use]
    pub fn sweeping_for(mut self, plan: &Plan) -> Self {
        self.beyond_ec2 = plan.steps.iter().any(|step| is_beyond_ec2(&step.op));
        self
    }

    /// Asks in the preflight for the permissions that this plan needs, where they can be asked for
    /// without making anything.
    #[must_use]
    pub fn for_plan(mut self, plan: &Plan) -> Self {
        let here = |step: &&PlanStep| step.provider.as_deref().unwrap_or(Target::AWS) == self.name;
        self.makes_subnets = plan.steps.iter().filter(here).any(|step| step.op == Subnet::KIND);
        self
    }

    async fn identify(&self, calls: CallLog) -> OpResult<Identity> {
        let reply = self
            .context
            .sts_of_no_step(calls)
            .get_caller_identity()
            .send()
            .await
            .map_err(|e| self.with_profile(op_error(Call::new("sts:GetCallerIdentity", "the caller"), e)))?;
        let (account, caller) = (reply.account().unwrap_or_default(), reply.arn().unwrap_or_default());
        if account != self.account {
            return Err(OpError::permanent(format!(
                "refused: {}the caller {caller} is in account {account}, the runbook wants {}",
                self.target().map(|name| format!("target `{name}`: ")).unwrap_or_default(),
                self.account
            ))
            .with_hint(
                "use credentials of the account that the runbook names, or name the other one (`--input account=...`)",
            ));
        }
        Ok(Identity { caller: caller.to_owned() })
    }

    /// The name of the target, where it is not the default one.
    fn target(&self) -> Option<&str> {
        Some(self.name.as_str()).filter(|name| *name != Target::AWS)
    }

    /// The error with the target that it is about, and the profile in the command that mends it.
    fn with_profile(&self, mut error: OpError) -> OpError {
        if let Some(name) = self.target() {
            error.message = format!("target `{name}`: {}", error.message);
        }
        if error.hint.as_ref().is_some_and(|hint| hint.contains(LOGIN)) {
            let profile = self.context.profile().map(|name| format!(" --profile {name}")).unwrap_or_default();
            error.hint = Some(format!("run `{LOGIN}{profile}`"));
        }
        error
    }

    /// Whether a create call with ownership tags would be allowed, by a dry run of `CreateSubnet` in
    /// a VPC that does not exist.
    ///
    /// Permission is checked before existence, so a caller who may not is told so; and where a dry
    /// run is taken for the real thing (moto's `CreateVpc` is), nothing can be made. A dry run of
    /// `CreateTags` would ask the wrong question: policies commonly allow it only as a part of a
    /// create call. That other create calls are denied shows with the call, which has no effect then.
    async fn may_tag(&self, calls: CallLog) -> OpResult<()> {
        let tag = Tag::builder().key(format!("{}:run", self.tag_prefix)).value("preflight").build();
        let tags = TagSpecification::builder().resource_type(ResourceType::Subnet).tags(tag).build();
        let ec2 = self.context.ec2_of_no_step(calls);
        let asked = ec2.create_subnet().vpc_id(NO_VPC).cidr_block("10.0.0.0/24").tag_specifications(tags).dry_run(true);
        match asked.send().await {
            Err(e) if e.code() == Some("UnauthorizedOperation") => {
                Err(op_error(Call::new("ec2:CreateSubnet", "a tagged subnet, as a dry run"), e))
            }
            Err(e) => {
                let error = op_error(Call::new("ec2:CreateSubnet", "a tagged subnet, as a dry run"), e);
                // That there is no such VPC, that it is a dry run, or no reply: the create call will say it.
                if error.class == ErrorClass::Unavailable { Err(error) } else { Ok(()) }
            }
            Ok(_) => Ok(()),
        }
    }
}

/// Whether what an operation of that kind makes is listed by the tagging API alone. Roles and their policies
/// are not listed at all.
fn is_beyond_ec2(kind: &str) -> bool {
    kind.starts_with("aws.") && !["aws.ec2.", "aws.iam."].iter().any(|service| kind.starts_with(service))
}

/// The id of no VPC.
const NO_VPC: &str = "vpc-00000000000000000";

impl Provider for AwsProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn preflight(&self, calls: CallLog) -> BoxFuture<'_, OpResult<Identity>> {
        Box::pin(async move {
            let identity = self.identify(calls.clone()).await?;
            if self.makes_subnets {
                self.may_tag(calls).await.map_err(|e| self.with_profile(e))?;
            }
            Ok(identity)
        })
    }

    fn sweep(&self, run: RunId, calls: CallLog) -> BoxFuture<'_, OpResult<Vec<Leftover>>> {
        Box::pin(async move {
            let ec2 = self.context.ec2_of_no_step(calls.clone());
            let mut left = ec2::sweep(&ec2, &self.tag_prefix, run).await.map_err(|e| self.with_profile(e))?;
            if self.beyond_ec2 {
                match sweep::sweep(&self.context, &calls, &self.tag_prefix, run).await {
                    Ok(more) => left.extend(more),
                    // What is known to be left is said first; the next sweep meets the error again.
                    Err(_) if !left.is_empty() => {}
                    Err(e) => return Err(self.with_profile(e)),
                }
            }
            left.iter_mut().for_each(|l| l.target = self.target().map(str::to_owned));
            Ok(left)
        })
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use switchback_engine::provider::no_log;

    use super::*;
    use crate::context::{AwsConfig, CredentialSource};
    use crate::testing::{Answer, Script};

    const CALLER: Answer = Answer::Reply(
        200,
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ana</Arn>\
         <UserId>x</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
    );
    async fn provider(account: &str, script: &Script, makes_subnets: bool) -> AwsProvider {
        let context = AwsContext::new(script.config()).await;
        AwsProvider { makes_subnets, ..AwsProvider::new(context, account, "switchback") }
    }

    /// The replies of EC2 to a sweep that finds an image. Its type has no list here.
    fn an_image() -> Vec<Answer> {
        let tags = |key: &str, value: &str| {
            let text = format!(
                "<DescribeTagsResponse><tagSet><item><resourceId>ami-1</resourceId><resourceType>image</resourceType>\
                 <key>switchback:{key}</key><value>{value}</value></item></tagSet></DescribeTagsResponse>"
            );
            Answer::Reply(200, text.leak())
        };
        vec![tags("run", "x"), tags("step", "a"), tags("generation", "1")]
    }

    #[test]
    fn a_plan_for_networks_and_roles_needs_no_other_list() {
        for (kind, beyond) in
            [("aws.ec2.vpc", false), ("aws.iam.role", false), ("data.sql", false), ("aws.kms.key", true)]
        {
            assert_eq!(is_beyond_ec2(kind), beyond, "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_listed_hides_nothing_that_is_known() {
        let denied = Answer::Reply(400, r#"{"__type":"AccessDeniedException","message":"no"}"#);
        let nothing = Answer::Reply(200, "<DescribeTagsResponse><tagSet/></DescribeTagsResponse>");
        let run = RunId::new(uuid::Uuid::from_u128(7));
        let script = Script::new(an_image().into_iter().chain([denied.clone()]));
        let left = provider("123456789012", &script, false).await.sweep(run, no_log()).await.unwrap();
        assert_eq!((left.len(), script.requests()), (1, 4));
        let script = Script::new([nothing.clone(), denied]);
        let error = provider("123456789012", &script, false).await.sweep(run, no_log()).await.unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("the caller needs the IAM action `tag:GetResources`"));
        let script = Script::new([nothing]);
        let only_ec2 = AwsProvider { beyond_ec2: false, ..provider("123456789012", &script, false).await };
        assert!(only_ec2.sweep(run, no_log()).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn another_account_is_refused() {
        let script = Script::new([CALLER]);
        let error = provider("999999999999", &script, true).await.preflight(no_log()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert_eq!(
            error.message,
            "refused: the caller arn:aws:iam::123456789012:user/ana is in account 123456789012, the runbook wants \
             999999999999"
        );
        assert_eq!(script.requests(), 1, "nothing else is asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_target_is_named() {
        let script = Script::new([CALLER]);
        let west = provider("999999999999", &script, false).await.named("aws.west");
        let error = west.preflight(no_log()).await.unwrap_err();
        assert!(error.message.starts_with("refused: target `aws.west`: the caller arn:aws:iam::"), "{error}");
    }

    #[tokio::test]
    async fn a_session_that_is_over_names_the_command_and_the_profile() {
        let config = AwsConfig {
            credentials: CredentialSource::Standard { profile: Some("west".into()) },
            ..Script::default().config()
        };
        let provider = AwsProvider::new(AwsContext::new(config).await, "999999999999", "switchback");
        let over = OpError::new(ErrorClass::Unavailable, "x").with_hint("run `aws sso login` and `switchback resume`");
        assert_eq!(provider.with_profile(over).hint.as_deref(), Some("run `aws sso login --profile west`"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_refusal_of_the_dry_run_stops_the_plan() {
        for (status, code, stops) in [
            (412, "DryRunOperation", false),
            (400, "InvalidVpcID.NotFound", false),
            (503, "Unavailable", false),
            (403, "UnauthorizedOperation", true),
        ] {
            let body = format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>");
            let script = Script::new([CALLER, Answer::Reply(status, body.leak())]);
            let asked = provider("123456789012", &script, true).await.preflight(no_log()).await;
            assert_eq!(script.requests(), 2, "{code}");
            match asked {
                Ok(identity) => {
                    assert!(!stops, "{code}");
                    assert_eq!(identity.caller, "arn:aws:iam::123456789012:user/ana");
                }
                Err(error) => {
                    assert!(stops, "{code}");
                    assert_eq!(error.class, ErrorClass::Permanent);
                    assert!(error.hint.unwrap().contains("ec2:CreateTags"));
                }
            }
        }
        let without = Script::new([CALLER]);
        provider("123456789012", &without, false).await.preflight(no_log()).await.unwrap();
        assert_eq!(without.requests(), 1, "a plan without a subnet asks nothing more");
    }
}
