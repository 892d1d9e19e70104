//! The clients that AWS operations use, configured once.
//!
//! An [`AwsContext`] is made from an explicit [`AwsConfig`] and put into the run's
//! [`Contexts`](switchback_engine::cx::Contexts). Nothing here reads the environment, except
//! [`aws_config`] when the standard chain of credentials is asked for; and from that only
//! credentials are taken. Region and endpoint come from the plan and the run: a variable of the
//! environment must not send a run elsewhere when it is resumed.

use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ec2::config::{IdentityCache, StalledStreamProtectionConfig};
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use switchback_engine::Cx;
use switchback_engine::provider::CallLog;

use crate::http;
use crate::intercept::{Bound, Named, Owner, WritesOnce};

/// How long a connection may take to stand.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt of a call may take, from the first byte out to the last byte in. No call
/// that an operation makes waits for the thing itself: waits are polls.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a read is attempted inside the SDK. Writes: once.
pub const READ_ATTEMPTS: u32 = 3;
/// How long an unanswered write may still land at AWS, or a read may lag behind a write; and what
/// `TCP_USER_TIMEOUT` is set to. The longest of the services' own periods.
pub const QUIET: Duration = Duration::from_secs(30);

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// The standard chain: environment, shared files, SSO, web identity, container, instance.
    Standard {
        /// The profile in the shared files, instead of the chain's own choice. As in the chain,
        /// credentials in the environment come before it.
        profile: Option<String>,
    },
    /// This profile of the shared files and nothing else: keys, SSO, a role, a process.
    Profile {
        /// Its name.
        name: String,
    },
    /// These. For the sandbox and for tests.
    Static {
        /// The access key's id.
        access_key_id: String,
        /// The access key. Not shown by `Debug` of anything that holds it but this.
        secret_access_key: Secret,
    },
}

/// A role to assume with the credentials of the source (`AssumeRole` of STS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The role's ARN.
    pub role_arn: String,
    /// What the role's trust policy may ask for.
    pub external_id: Option<String>,
    /// The name of the session, by which CloudTrail shows whose calls they are.
    pub session_name: String,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// How AWS is reached.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// The region, `us-east-1`.
    pub region: String,
    /// A URL instead of AWS's own endpoints, `http://127.0.0.1:4566`.
    pub endpoint_url: Option<String>,
    /// Where credentials come from.
    pub credentials: CredentialSource,
    /// The role to assume with them.
    pub role: Option<Role>,
    /// The quiet period of the target: [`QUIET`] for AWS.
    pub quiet: Duration,
    /// An HTTP client instead of [`http::client`]: the sandbox in the same process.
    pub http_client: Option<SharedHttpClient>,
}

impl AwsConfig {
    /// AWS itself, with the standard chain of credentials.
    #[must_use]
    pub fn standard(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            endpoint_url: None,
            credentials: CredentialSource::Standard { profile: None },
            role: None,
            quiet: QUIET,
            http_client: None,
        }
    }

    /// A stand-in for AWS at that URL, with those credentials.
    #[must_use]
    pub fn endpoint(
        region: impl Into<String>,
        url: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Self {
        Self {
            endpoint_url: Some(url.into()),
            credentials: CredentialSource::Static {
                access_key_id: access_key_id.into(),
                secret_access_key: Secret(secret_access_key.into()),
            },
            ..Self::standard(region)
        }
    }

    /// A stand-in for AWS behind that HTTP client, in the same process.
    #[must_use]
    pub fn in_process(region: impl Into<String>, http_client: SharedHttpClient) -> Self {
        // The host is never looked up; `https` would ask for nothing more than a name either.
        let config = Self::endpoint(region, "http://127.0.0.1:1", "in-process", "in-process");
        Self { http_client: Some(http_client), ..config }
    }

    /// With another quiet period than AWS's. Only for a test target.
    #[must_use]
    pub fn with_quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// With this profile of the shared files in the standard chain; without effect on other sources.
    #[must_use]
    pub fn with_profile(mut self, name: Option<String>) -> Self {
        if let CredentialSource::Standard { profile } = &mut self.credentials {
            *profile = name;
        }
        self
    }

    /// With this role.
    #[must_use]
    pub fn with_role(mut self, role: Option<Role>) -> Self {
        self.role = role;
        self
    }
}

/// The clients of one account and region. Clones share everything.
#[derive(Debug, Clone)]
pub struct AwsContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: AwsConfig,
    sdk: SdkConfig,
}

impl AwsContext {
    /// Prepares the clients. Calls nothing: credentials are fetched for the first call.
    pub async fn new(config: AwsConfig) -> Self {
        let http = config.http_client.clone().unwrap_or_else(|| http::client(config.quiet));
        let region = Region::new(config.region.clone());
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(http.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(READ_ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            )
            .identity_cache(IdentityCache::lazy().build())
            // Replies are small and the attempt has its timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .sleep_impl(SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new()));
        sdk.set_endpoint_url(config.endpoint_url.clone());
        let loader =
            || aws_config::defaults(BehaviorVersion::latest()).region(region.clone()).http_client(http.clone());
        let loaded = match &config.credentials {
            CredentialSource::Static { access_key_id, secret_access_key } => {
                let given = Credentials::new(access_key_id, &secret_access_key.0, None, None, "switchback");
                sdk.set_credentials_provider(Some(SharedCredentialsProvider::new(given)));
                None
            }
            CredentialSource::Standard { profile: None } => Some(loader()),
            CredentialSource::Standard { profile: Some(name) } => Some(loader().profile_name(name)),
            CredentialSource::Profile { name } => {
                let place =
                    ProviderConfig::without_region().with_region(Some(region.clone())).with_http_client(http.clone());
                let only = ProfileFileCredentialsProvider::builder().configure(&place).profile_name(name).build();
                Some(loader().profile_name(name).credentials_provider(only))
            }
        };
        if let Some(loader) = loaded {
            let loaded = loader.load().await;
            sdk.set_credentials_provider(loaded.credentials_provider());
            sdk.set_use_fips(loaded.use_fips());
            sdk.set_use_dual_stack(loaded.use_dual_stack());
        }
        let mut sdk = sdk.build();
        if let Some(role) = &config.role {
            sdk = assuming(sdk, role).await;
        }
        Self(Arc::new(Inner { config, sdk }))
    }

    /// The profile that credentials come from, where one was named.
    pub(crate) fn profile(&self) -> Option<&str> {
        match &self.0.config.credentials {
            CredentialSource::Standard { profile } => profile.as_deref(),
            CredentialSource::Profile { name } => Some(name),
            CredentialSource::Static { .. } => None,
        }
    }

    /// The region, `us-east-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.config.region
    }

    /// The quiet period of the target.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.0.config.quiet
    }
}

/// The same with the credentials of a role, which are fetched with those of `sdk`, from the same
/// endpoint and through the same HTTP client, and fetched again before they expire.
async fn assuming(sdk: SdkConfig, role: &Role) -> SdkConfig {
    let mut asked = AssumeRoleProvider::builder(&role.role_arn).session_name(&role.session_name);
    if let Some(id) = &role.external_id {
        asked = asked.external_id(id);
    }
    // The provider wants a clock, which other clients bring along by themselves.
    let asking = sdk.to_builder().time_source(SystemTimeSource::new()).build();
    let provider = match sdk.credentials_provider() {
        Some(base) => asked.configure(&asking).build_from_provider(base).await,
        None => asked.configure(&asking).build().await,
    };
    sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// A client of each service, bound to a step or to none. Making one is cheap: connections, credentials
/// and settings are shared by all.
macro_rules! clients {
    ($($service:ident, $of_no_step:ident, $sdk:ident, $name:literal;)*) => {
        impl AwsContext {
            $(
                #[doc = concat!("A client of ", $name, " whose calls are fenced and recorded on behalf of the step.")]
                #[must_use]
                pub fn $service(&self, cx: &Cx) -> $sdk::Client {
                    let config = $sdk::config::Builder::from(&self.0.sdk)
                        .interceptor(WritesOnce)
                        .interceptor(Named(agent(Some(cx))))
                        .interceptor(Bound(Owner::Step(cx.clone())));
                    $sdk::Client::from_conf(config.build())
                }

                #[doc = concat!("A client of ", $name, " that is bound to no step, for what is asked of the target as a whole.")]
                #[allow(dead_code, reason = "not every service is asked as a whole")]
                pub(crate) fn $of_no_step(&self, calls: CallLog) -> $sdk::Client {
                    let config = $sdk::config::Builder::from(&self.0.sdk)
                        .interceptor(WritesOnce)
                        .interceptor(Named(agent(None)))
                        .interceptor(Bound(Owner::Run(calls)));
                    $sdk::Client::from_conf(config.build())
                }
            )*
        }
    };
}

impl AwsContext {
    /// A client of S3 whose calls are fenced and recorded on behalf of the step. Where an endpoint is given, the bucket
    /// is in the path: its name in front of a host is nobody's name.
    #[must_use]
    pub fn s3(&self, cx: &Cx) -> aws_sdk_s3::Client {
        self.s3_of(Owner::Step(cx.clone()), agent(Some(cx)))
    }

    /// A client of S3 that is bound to no step.
    pub(crate) fn s3_of_no_step(&self, calls: CallLog) -> aws_sdk_s3::Client {
        self.s3_of(Owner::Run(calls), agent(None))
    }

    fn s3_of(&self, owner: Owner, agent: String) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.0.sdk)
            .force_path_style(self.0.config.endpoint_url.is_some())
            .interceptor(WritesOnce)
            .interceptor(Named(agent))
            .interceptor(Bound(owner));
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

clients! {
    dynamodb, dynamodb_of_no_step, aws_sdk_dynamodb, "DynamoDB";
    cloudwatch, cloudwatch_of_no_step, aws_sdk_cloudwatch, "CloudWatch";
    backup, backup_of_no_step, aws_sdk_backup, "AWS Backup";
    ec2, ec2_of_no_step, aws_sdk_ec2, "EC2";
    ecr, ecr_of_no_step, aws_sdk_ecr, "ECR";
    ecs, ecs_of_no_step, aws_sdk_ecs, "ECS";
    elbv2, elbv2_of_no_step, aws_sdk_elasticloadbalancingv2, "Elastic Load Balancing";
    iam, iam_of_no_step, aws_sdk_iam, "IAM";
    kms, kms_of_no_step, aws_sdk_kms, "KMS";
    lambda, lambda_of_no_step, aws_sdk_lambda, "Lambda";
    logs, logs_of_no_step, aws_sdk_cloudwatchlogs, "CloudWatch Logs";
    rds, rds_of_no_step, aws_sdk_rds, "RDS";
    secretsmanager, secretsmanager_of_no_step, aws_sdk_secretsmanager, "Secrets Manager";
    servicediscovery, servicediscovery_of_no_step, aws_sdk_servicediscovery, "Cloud Map";
    ssm, ssm_of_no_step, aws_sdk_ssm, "Systems Manager";
    sns, sns_of_no_step, aws_sdk_sns, "SNS";
    sts, sts_of_no_step, aws_sdk_sts, "STS";
    tagging, tagging_of_no_step, aws_sdk_resourcegroupstagging, "the Resource Groups Tagging API";
}

/// What is added to the `User-Agent`.
fn agent(cx: Option<&Cx>) -> String {
    let ours = concat!("switchback/", env!("CARGO_PKG_VERSION"));
    match cx {
        Some(cx) => format!("{ours} run/{} step/{}", cx.run(), cx.step().as_tag_value()),
        None => ours.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script};

    #[test]
    fn a_secret_is_not_shown() {
        let config =
            AwsConfig::endpoint("us-east-1", "http://127.0.0.1:1", "AKIA", "hush").with_profile(Some("x".into()));
        let text = format!("{config:?}");
        assert!(text.contains("AKIA") && !text.contains("hush"), "{text}");
    }

    #[tokio::test]
    async fn the_client_is_built_from_the_configuration() {
        let config =
            AwsConfig::endpoint("eu-west-1", "http://127.0.0.1:1", "a", "b").with_quiet(Duration::from_secs(2));
        let context = AwsContext::new(config).await;
        assert_eq!((context.region(), context.quiet()), ("eu-west-1", Duration::from_secs(2)));
        let ec2 = context.ec2_of_no_step(switchback_engine::provider::no_log());
        assert_eq!(ec2.config().region().map(|r| r.as_ref()), Some("eu-west-1"));
        let timeouts = ec2.config().timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
        assert_eq!(ec2.config().retry_config().unwrap().max_attempts(), READ_ATTEMPTS);
    }

    const ASSUMED: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
         <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>";
    const CALLER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>1</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>";

    #[tokio::test]
    async fn a_role_is_assumed_once_with_the_credentials_of_the_source() {
        let script = Script::new([ASSUMED, CALLER, CALLER].map(|body| Answer::Reply(200, body)));
        let role = Role {
            role_arn: "arn:aws:iam::210987654321:role/x".into(),
            external_id: Some("ext".into()),
            session_name: "switchback-7".into(),
        };
        let context = AwsContext::new(script.config().with_role(Some(role))).await;
        for _ in 0..2 {
            let sts = context.sts_of_no_step(switchback_engine::provider::no_log());
            assert_eq!(sts.get_caller_identity().send().await.unwrap().account(), Some("1"));
        }
        let bodies = script.bodies.lock().unwrap();
        assert_eq!(bodies.len(), 3, "{bodies:?}");
        for part in ["Action=AssumeRole", "RoleSessionName=switchback-7", "ExternalId=ext", "210987654321%3Arole%2Fx"] {
            assert!(bodies[0].contains(part), "{part}: {bodies:?}");
        }
        assert!(bodies[1].contains("GetCallerIdentity"), "{bodies:?}");
    }
}
