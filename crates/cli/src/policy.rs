//! The IAM policy of least privilege for a runbook: what going forward and going back need, and no
//! more. Made from the facts of its operations, which the conformance tests hold against the calls
//! that are really made.
//!
//! What can be named before it is made is named: a role, a cluster, a repository by its ARN. What AWS
//! names itself (networks, keys) can be made, and undone only where it carries a run's tag: with this
//! policy a run could not delete what no run has made, even if it tried.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use switchback_engine::Registry;
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::plan::{AwsTarget, Plan, SecretFrom};

use crate::view;

/// Asked for the run as a whole: who calls, may it tag, what is left.
const OF_THE_RUN: &[&str] = &["ec2:DescribeTags", "sts:GetCallerIdentity", "tag:GetResources"];
/// The permission to tag, which EC2 wants beside each create call and which is given for those only.
const TAG: &str = "ec2:CreateTags";

/// Actions that IAM takes for anything or not at all: what they make cannot be named.
const OF_NOTHING_NAMED: &[&str] = &["ecs:CreateCluster", "ecs:DeregisterTaskDefinition"];

/// What is called and is not AWS: no policy of IAM knows it.
const NOT_AWS: &[&str] = &["command", "file", "http", "nats", "postgresql", "registry", "tcp"];

/// Calls whose actions in IAM have other names: many of S3; and one that needs those of what is in it, and none itself.
const CALLED_OTHERWISE: &[(&str, &[&str])] = &[
    ("dynamodb:TransactWriteItems", &[]),
    ("s3:DeleteObject", &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
    ("s3:GetBucketEncryption", &["s3:GetEncryptionConfiguration"]),
    ("s3:GetBucketLifecycleConfiguration", &["s3:GetLifecycleConfiguration"]),
    ("s3:GetPublicAccessBlock", &["s3:GetBucketPublicAccessBlock"]),
    // Without the permission to list, what is not there looks as if it were forbidden.
    ("s3:HeadObject", &["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]),
    ("s3:ListObjectVersions", &["s3:ListBucketVersions"]),
    ("s3:PutBucketEncryption", &["s3:PutEncryptionConfiguration"]),
    ("s3:PutBucketLifecycleConfiguration", &["s3:PutLifecycleConfiguration"]),
    ("s3:PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
];

/// The size that a managed policy may have, in characters without white space.
pub(crate) const LARGEST: usize = 6144;

/// The actions that doing it needs.
pub(crate) fn to_do(facts: &Facts) -> BTreeSet<String> {
    texts([&facts.reads, &facts.creates, &facts.settles, &facts.extra_actions])
}

/// The actions that undoing it needs.
pub(crate) fn to_undo(facts: &Facts) -> BTreeSet<String> {
    texts([&facts.reads, &facts.rolls_back, &facts.extra_undo_actions])
}

fn texts<const N: usize>(lists: [&Vec<Cow<'static, str>>; N]) -> BTreeSet<String> {
    let of_aws = |call: &&Cow<'static, str>| !NOT_AWS.iter().any(|s| call.split(':').next() == Some(s));
    let actions = |call: &Cow<'static, str>| match CALLED_OTHERWISE.iter().find(|(of, _)| *of == call.as_ref()) {
        Some((_, actions)) => actions.iter().map(|action| (*action).to_owned()).collect(),
        None => vec![call.clone().into_owned()],
    };
    lists.into_iter().flatten().filter(of_aws).flat_map(actions).collect()
}

/// The policy for the steps of a plan that act on one of its targets.
pub(crate) fn policy(
    plan: &Plan,
    registry: &Registry,
    target: &AwsTarget,
    provider: Option<&str>,
    tag_prefix: &str,
) -> Value {
    let mut reads: BTreeSet<String> = OF_THE_RUN.iter().map(|a| (*a).to_owned()).collect();
    // By what they may be done to: actions on anything, on what carries the tag, on ARNs.
    let mut anything = BTreeSet::new();
    let mut tagged = BTreeSet::new();
    let mut named: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    let mut tags_on_create = false;
    let facts = view::facts_of_all(plan, registry);
    let of_target = plan.steps.iter().zip(facts).filter(|(step, _)| step.provider.as_deref() == provider);
    for facts in of_target.filter_map(|(_, facts)| facts) {
        reads.extend(texts([&facts.reads]));
        let mut forward = texts([&facts.creates, &facts.settles, &facts.extra_actions]);
        let (undone, besides) = (texts([&facts.rolls_back]), texts([&facts.extra_undo_actions]));
        tags_on_create |= forward.remove(TAG);
        if facts.arns.is_empty() {
            anything.extend(forward);
            // What is asked for besides is about something else, which carries no tag of the run's.
            anything.extend(besides);
            if facts.proof == ProofKind::Strong {
                tagged.extend(undone)
            } else {
                anything.extend(undone)
            }
            continue;
        }
        let back = &undone | &besides;
        // An action of another service (a role that is made along with it) is about something else.
        let service = |arn: &String| arn.split(':').nth(2).map(|s| format!("{s}:"));
        let own: Vec<String> = facts.arns.iter().filter_map(service).collect();
        let names = |action: &String| {
            own.iter().any(|s| action.starts_with(s.as_str())) && !OF_NOTHING_NAMED.contains(&action.as_str())
        };
        let (about, others): (BTreeSet<_>, BTreeSet<_>) = (&forward | &back).into_iter().partition(names);
        anything.extend(others);
        named.entry(about).or_default().extend(facts.arns.iter().map(|arn| filled(arn, target)));
    }
    let mut statements = vec![statement("Read", &reads, json!("*"), None)];
    if !anything.is_empty() {
        statements.push(statement("Make", &anything, json!("*"), None));
    }
    if tags_on_create {
        let only_on_create = json!({"Null": {"ec2:CreateAction": "false"}});
        statements.push(statement(
            "TagWhatIsMade",
            &BTreeSet::from([TAG.to_owned()]),
            json!("*"),
            Some(only_on_create),
        ));
    }
    let tagged = &tagged - &anything;
    if !tagged.is_empty() {
        let carries = json!({"Null": {format!("aws:ResourceTag/{tag_prefix}:run"): "false"}});
        statements.push(statement("UndoWhatARunMade", &tagged, json!("*"), Some(carries)));
    }
    // Secrets are asked for in the target `aws`, whatever step takes them.
    let secrets = secrets(plan, target);
    if provider.is_none() && !secrets.is_empty() {
        let read = BTreeSet::from(["secretsmanager:GetSecretValue".to_owned()]);
        statements.push(statement("ReadSecrets", &read, json!(secrets), None));
    }
    for (n, (actions, arns)) in named.iter().enumerate() {
        statements.push(statement(&format!("Named{}", n + 1), actions, json!(arns), None));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// The ARNs of the secrets that Secrets Manager is asked for. It adds a hyphen and six characters to their names.
fn secrets(plan: &Plan, target: &AwsTarget) -> BTreeSet<String> {
    let managed = plan.secrets.values().filter_map(|secret| match &secret.from {
        Some(SecretFrom::SecretsManager(secret)) => Some(secret.secret_id.as_str()),
        _ => None,
    });
    let arn = |id: &str| {
        if id.starts_with("arn:") {
            return id.to_owned();
        }
        filled(&format!("arn:{{partition}}:secretsmanager:{{region}}:{{account}}:secret:{id}-??????"), target)
    };
    managed.map(arn).collect()
}

fn statement(sid: &str, actions: &BTreeSet<String>, resource: Value, condition: Option<Value>) -> Value {
    let mut statement = json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource});
    if let (Some(condition), Some(map)) = (condition, statement.as_object_mut()) {
        map.insert("Condition".to_owned(), condition);
    }
    statement
}

fn filled(arn: &str, target: &AwsTarget) -> String {
    let partition = match &target.region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    arn.replace("{partition}", partition).replace("{region}", &target.region).replace("{account}", &target.account)
}

/// How many characters of it count against [`LARGEST`].
pub(crate) fn size(policy: &Value) -> usize {
    policy.to_string().chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use switchback_engine::planner::plan_runbook;
    use switchback_engine::runbook::Source;

    use super::*;

    fn policy_of(steps: &str) -> Value {
        let mut registry = Registry::new();
        switchback_aws::register(&mut registry).unwrap();
        switchback_data::register(&mut registry).unwrap();
        let text = format!(
            "runbook: x\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"123456789012\" }}\n\
             phases:\n  - name: only\n    steps:\n{steps}"
        );
        let plan = plan_runbook(&Source::new("runbook.yaml", &text), &registry, &BTreeMap::new()).unwrap().plan;
        let target = plan.target.aws.clone().unwrap();
        policy(&plan, &registry, &target, None, "switchback")
    }

    fn statement<'a>(policy: &'a Value, sid: &str) -> &'a Value {
        policy["Statement"].as_array().unwrap().iter().find(|s| s["Sid"] == sid).unwrap_or(&Value::Null)
    }

    #[test]
    fn what_aws_names_is_undone_only_where_it_carries_a_runs_tag() {
        let policy = policy_of(
            "      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/16, enable_dns_hostnames: true }\n",
        );
        assert_eq!(statement(&policy, "Make")["Action"], json!(["ec2:CreateVpc", "ec2:ModifyVpcAttribute"]));
        let undo = statement(&policy, "UndoWhatARunMade");
        assert_eq!(undo["Action"], json!(["ec2:DeleteVpc"]));
        assert_eq!(undo["Condition"], json!({"Null": {"aws:ResourceTag/switchback:run": "false"}}));
        let tag = statement(&policy, "TagWhatIsMade");
        assert_eq!(tag["Condition"], json!({"Null": {"ec2:CreateAction": "false"}}));
        let reads = statement(&policy, "Read")["Action"].as_array().unwrap();
        assert!(reads.contains(&json!("sts:GetCallerIdentity")) && reads.contains(&json!("ec2:DescribeVpcs")));
    }

    #[test]
    fn calls_of_s3_have_other_names_in_iam() {
        let policy = policy_of(
            "      - id: text\n        op: aws.s3.object\n        with: { bucket: app, key: k, content: x }\n",
        );
        assert_eq!(
            statement(&policy, "Named1")["Action"],
            json!(["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject"])
        );
        let reads = statement(&policy, "Read")["Action"].as_array().unwrap();
        assert!(reads.contains(&json!("s3:ListBucket")) && !reads.contains(&json!("s3:HeadObject")));
    }

    #[test]
    fn a_transaction_needs_the_actions_of_what_is_in_it() {
        let policy = policy_of(
            "      - id: copy\n        op: nats.jetstream_to_dynamodb\n        \
             with: { server: { url: \"nats://n:4222\" }, stream: S, table_name: app }\n",
        );
        let text = policy.to_string();
        assert!(text.contains("dynamodb:PutItem") && text.contains("dynamodb:DeleteItem"), "{text}");
        assert!(!text.contains("TransactWriteItems"), "{text}");
    }

    #[test]
    fn what_iam_takes_for_anything_only_is_not_named() {
        let policy =
            policy_of("      - id: cluster\n        op: aws.ecs.cluster\n        with: { cluster_name: app }\n");
        let make = statement(&policy, "Make")["Action"].as_array().unwrap();
        assert!(make.contains(&json!("ecs:CreateCluster")));
        assert_eq!(statement(&policy, "Named1")["Action"], json!(["ecs:DeleteCluster", "ecs:TagResource"]));
    }

    #[test]
    fn what_an_undo_needs_besides_carries_no_tag() {
        let policy = policy_of(
            r#"      - id: endpoint
        op: aws.ec2.vpc_endpoint
        with:
          vpc_id: vpc-12345678
          service_name: com.amazonaws.us-east-1.ecr.api
          vpc_endpoint_type: Interface
          subnet_ids: [subnet-12345678]
          private_dns_enabled: true
"#,
        );
        assert_eq!(statement(&policy, "UndoWhatARunMade")["Action"], json!(["ec2:DeleteVpcEndpoints"]));
        let make = statement(&policy, "Make")["Action"].as_array().unwrap();
        assert!(make.contains(&json!("route53:DisassociateVPCFromHostedZone")), "a hosted zone has no tag of ours");
    }

    #[test]
    fn a_rule_of_anothers_group_can_be_taken_away_again() {
        let rule = |group: &str| {
            format!(
                "      - id: rule\n        op: aws.ec2.security_group_rule\n        with: {{ group_id: \"{group}\", \
                 direction: ingress, ip_protocol: tcp, from_port: 443, to_port: 443, cidr_ipv4: 10.0.0.0/16 }}\n"
            )
        };
        let policy = policy_of(&rule("sg-12345678"));
        let named = statement(&policy, "Named1");
        assert_eq!(
            named["Action"],
            json!(["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]),
            "{policy}"
        );
        assert_eq!(named["Resource"][0], "arn:aws:ec2:us-east-1:123456789012:security-group-rule/*");
        assert_eq!(named["Resource"][1], "arn:aws:ec2:us-east-1:123456789012:security-group/sg-12345678");
        assert!(statement(&policy, "UndoWhatARunMade").is_null() && named["Condition"].is_null());

        let group = "      - id: group\n        op: aws.ec2.security_group\n        with: { vpc_id: vpc-12345678, \
                     group_name: app, description: x }\n";
        let policy = policy_of(&format!("{group}{}", rule("${group.group_id}")));
        let undo = statement(&policy, "UndoWhatARunMade")["Action"].as_array().unwrap();
        assert!(undo.contains(&json!("ec2:RevokeSecurityGroupIngress")), "a group of the run's own has its tag");
    }

    #[test]
    fn what_has_a_name_is_named_and_the_name_is_followed_through_references() {
        let policy = policy_of(
            r#"      - id: role
        op: aws.iam.role
        with:
          role_name: App
          path: /team/
          assume_role_policy_document:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Principal: { Service: ecs-tasks.amazonaws.com }, Action: sts:AssumeRole }]
      - id: cluster
        op: aws.rds.db_cluster
        with: { db_cluster_identifier: App, engine: aurora-postgresql, master_username: postgres, manage_master_user_password: true }
      - id: instance
        op: aws.rds.db_instance
        with: { db_instance_identifier: app-1, db_cluster_identifier: "${cluster.db_cluster_identifier}", db_instance_class: db.serverless, engine: aurora-postgresql }
"#,
        );
        let all = policy["Statement"].as_array().unwrap();
        let about = |action: &str| {
            let found: Vec<_> =
                all.iter().filter(|s| s["Action"].as_array().unwrap().contains(&json!(action))).collect();
            assert_eq!(found.len(), 1, "{action}");
            found[0]["Resource"].clone()
        };
        assert_eq!(about("iam:CreateRole"), json!(["arn:aws:iam::123456789012:role/team/App"]));
        assert_eq!(about("iam:DeleteRole"), json!(["arn:aws:iam::123456789012:role/team/App"]));
        let cluster = json!("arn:aws:rds:us-east-1:123456789012:cluster:app");
        assert!(about("rds:CreateDBCluster").as_array().unwrap().contains(&cluster));
        assert!(about("rds:CreateDBInstance").as_array().unwrap().contains(&cluster), "through the reference");
        assert_eq!(about("iam:CreateServiceLinkedRole"), "*", "not about the database");
        assert!(size(&policy) < LARGEST);
    }

    #[test]
    fn a_secret_of_secrets_manager_may_be_read() {
        let with = |id: &str| {
            let mut registry = Registry::new();
            switchback_aws::register(&mut registry).unwrap();
            let text = format!(
                r#"runbook: x
version: 1
target:
  aws: {{ region: us-east-1, account: "123456789012" }}
  aws.west: {{ region: us-west-2, account: "123456789012" }}
inputs:
  pw: {{ type: secret, from: {{ secrets_manager: {{ secret_id: "{id}" }} }} }}
phases:
  - name: only
    steps:
      - id: cluster
        op: aws.rds.db_cluster
        provider: aws.west
        with: {{ db_cluster_identifier: App, engine: aurora-postgresql, master_username: postgres, master_user_password: "${{inputs.pw}}" }}
"#
            );
            let plan = plan_runbook(&Source::new("runbook.yaml", &text), &registry, &BTreeMap::new()).unwrap().plan;
            let target = plan.target.aws.clone().unwrap();
            [None, Some("aws.west")].map(|provider| {
                statement(&policy(&plan, &registry, &target, provider, "switchback"), "ReadSecrets").clone()
            })
        };
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db/pw-??????";
        let [here, there] = with("db/pw");
        assert_eq!((&here["Action"], &here["Resource"]), (&json!(["secretsmanager:GetSecretValue"]), &json!([arn])));
        assert_eq!(there, Value::Null, "it is asked for in the target `aws` only");
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db/pw-AAAAAB";
        assert_eq!(with(arn)[0]["Resource"], json!([arn]));
    }

    #[test]
    fn partitions_follow_from_the_region() {
        let target = |region: &str| AwsTarget {
            region: region.into(),
            account: "123456789012".into(),
            profile: None,
            assume_role: None,
            endpoint_url: None,
        };
        for (region, arn) in [
            ("us-east-1", "arn:aws:x:us-east-1:123456789012"),
            ("cn-north-1", "arn:aws-cn:x:cn-north-1:123456789012"),
            ("us-gov-west-1", "arn:aws-us-gov:x:us-gov-west-1:123456789012"),
        ] {
            assert_eq!(filled("arn:{partition}:x:{region}:{account}", &target(region)), arn);
        }
    }
}
