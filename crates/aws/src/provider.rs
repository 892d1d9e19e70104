//! AWS as a whole: who is calling, may it do what the plan needs, and what is left of a run.

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use switchback_engine::Operation;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::{CallLog, Identity, Provider};
use switchback_model::plan::Plan;
use switchback_model::record::Leftover;
use switchback_model::{ErrorClass, OpError, OpResult, RunId};

use crate::context::AwsContext;
use crate::ec2;
use crate::ec2::subnet::Subnet;
use crate::errors::{Call, op_error};
use crate::sweep;

/// AWS, as the target of one plan.
#[derive(Debug, Clone)]
pub struct AwsProvider {
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
        let (account, tag_prefix) = (account.into(), tag_prefix.into());
        Self { context, account, tag_prefix, makes_subnets: false, beyond_ec2: true }
    }

    /// Sweeps only where this plan can have left anything: a caller who may use EC2 and nothing else
    /// needs no permission to list the rest.
    #[must_use]
    pub fn sweeping_for(mut self, plan: &Plan) -> Self {
        let listed_elsewhere = |op: &str| ["aws.ec2.", "aws.iam."].iter().any(|service| op.starts_with(service));
        self.beyond_ec2 = plan.steps.iter().any(|step| step.op.starts_with("aws.") && !listed_elsewhere(&step.op));
        self
    }

    /// Asks in the preflight for the permissions that this plan needs, where they can be asked for
    /// without making anything.
    #[must_use]
    pub fn for_plan(mut self, plan: &Plan) -> Self {
        self.makes_subnets = plan.steps.iter().any(|step| step.op == Subnet::KIND);
        self
    }

    async fn identify(&self, calls: CallLog) -> OpResult<Identity> {
        let reply = self
            .context
            .sts_of_no_step(calls)
            .get_caller_identity()
            .send()
            .await
            .map_err(|e| op_error(Call::new("sts:GetCallerIdentity", "the caller"), e))?;
        let (account, caller) = (reply.account().unwrap_or_default(), reply.arn().unwrap_or_default());
        if account != self.account {
            return Err(OpError::permanent(format!(
                "refused: the caller {caller} is in account {account}, the runbook wants {}",
                self.account
            ))
            .with_hint(
                "use credentials of the account that the runbook names, or name the other one (`--input account=...`)",
            ));
        }
        Ok(Identity { caller: caller.to_owned() })
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

/// The id of no VPC.
const NO_VPC: &str = "vpc-00000000000000000";

impl Provider for AwsProvider {
    fn name(&self) -> &str {
        "aws"
    }

    fn preflight(&self, calls: CallLog) -> BoxFuture<'_, OpResult<Identity>> {
        Box::pin(async move {
            let identity = self.identify(calls.clone()).await?;
            if self.makes_subnets {
                self.may_tag(calls).await?;
            }
            Ok(identity)
        })
    }

    fn sweep(&self, run: RunId, calls: CallLog) -> BoxFuture<'_, OpResult<Vec<Leftover>>> {
        Box::pin(async move {
            let mut left = ec2::sweep(&self.context.ec2_of_no_step(calls.clone()), &self.tag_prefix, run).await?;
            if self.beyond_ec2 {
                match sweep::sweep(&self.context, &calls, &self.tag_prefix, run).await {
                    Ok(more) => left.extend(more),
                    // What is known to be left is said first; the next sweep meets the error again.
                    Err(_) if !left.is_empty() => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(left)
        })
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use switchback_engine::provider::no_log;

    use super::*;
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
