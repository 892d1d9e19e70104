//! Somebody else with access to the same account: SDK clients that know nothing of runs and tags.

/// A client of each service for an endpoint on loopback.
macro_rules! clients {
    ($($name:ident, $sdk:ident;)*) => {
        $(
            pub fn $name(endpoint: &str) -> $sdk::Client {
                let credentials = $sdk::config::Credentials::new("colleague", "secret", None, None, "test");
                let config = $sdk::Config::builder()
                    .behavior_version($sdk::config::BehaviorVersion::latest())
                    .region($sdk::config::Region::new("us-east-1"))
                    .credentials_provider(credentials)
                    .endpoint_url(endpoint)
                    .build();
                $sdk::Client::from_conf(config)
            }
        )*
    };
}

clients! {
    dynamodb, aws_sdk_dynamodb;
    ec2, aws_sdk_ec2;
    ecr, aws_sdk_ecr;
    ecs, aws_sdk_ecs;
    iam, aws_sdk_iam;
    kms, aws_sdk_kms;
    logs, aws_sdk_cloudwatchlogs;
    rds, aws_sdk_rds;
}
