//! Databases: a network to put them into, and the calls that tests make again and again.

use std::time::Duration;

use aws_sdk_rds::client::Waiters as _;
use aws_sdk_rds::types::{DbCluster, DbInstance, ServerlessV2ScalingConfiguration, Tag};
use switchback_sandbox::Sandbox;

use crate::support::{Aws, aws_from};

/// How long databases take.
pub(crate) const SLOW: Duration = Duration::from_secs(60);
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// A sandbox with a network for databases.
pub(crate) struct Db {
    pub(crate) aws: Aws,
    pub(crate) vpc: String,
    /// One in each of two zones.
    pub(crate) subnets: Vec<String>,
    pub(crate) group: String,
}

/// With a subnet group `dbs`.
pub(crate) async fn db() -> Db {
    let aws = aws_from(Sandbox::builder().slow(SLOW));
    let vpc = aws.vpc().await;
    let subnets = vec![aws.subnet_in(&vpc, "10.0.1.0/24", "a").await, aws.subnet_in(&vpc, "10.0.2.0/24", "b").await];
    let group = aws.group(&vpc, "db").await;
    let db = Db { aws, vpc, subnets, group };
    db.subnet_group("dbs", &db.subnets).await;
    db
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

pub(crate) fn capacity(min: f64, max: f64) -> ServerlessV2ScalingConfiguration {
    ServerlessV2ScalingConfiguration::builder().min_capacity(min).max_capacity(max).build()
}

impl Aws {
    /// In the zone of this letter.
    pub(crate) async fn subnet_in(&self, vpc: &str, cidr: &str, letter: &str) -> String {
        let made = self.ec2.create_subnet().vpc_id(vpc).cidr_block(cidr);
        let made = made.availability_zone(format!("us-east-1{letter}")).send().await.unwrap();
        made.subnet.unwrap().subnet_id.unwrap()
    }
}

impl Db {
    pub(crate) async fn subnet_group(&self, name: &str, subnets: &[String]) {
        let made = self.aws.rds.create_db_subnet_group().db_subnet_group_name(name);
        let made = made.db_subnet_group_description("made by a test").set_subnet_ids(Some(subnets.to_vec()));
        made.send().await.unwrap();
    }

    /// A call that makes a cluster when it is sent.
    pub(crate) fn create(
        &self,
        name: &str,
    ) -> aws_sdk_rds::operation::create_db_cluster::builders::CreateDBClusterFluentBuilder {
        let make = self.aws.rds.create_db_cluster().db_cluster_identifier(name).engine("aurora-postgresql");
        let make = make.engine_version("15.4").master_username("master").master_user_password(PASSWORD);
        make.db_subnet_group_name("dbs").vpc_security_group_ids(&self.group)
    }

    /// A cluster that is available.
    pub(crate) async fn cluster(&self, name: &str) -> DbCluster {
        let made = self.create(name).serverless_v2_scaling_configuration(capacity(0.5, 4.0)).send().await.unwrap();
        self.aws.sandbox.clock().advance(SLOW);
        made.db_cluster.unwrap()
    }

    /// A call that makes a member of a cluster when it is sent.
    pub(crate) fn create_member(
        &self,
        name: &str,
        cluster: &str,
    ) -> aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder {
        let make = self.aws.rds.create_db_instance().db_instance_identifier(name).db_cluster_identifier(cluster);
        make.engine("aurora-postgresql").db_instance_class("db.serverless")
    }

    /// A member that is available.
    pub(crate) async fn member(&self, name: &str, cluster: &str) -> DbInstance {
        let made = self.create_member(name, cluster).send().await.unwrap();
        self.aws.sandbox.clock().advance(SLOW);
        made.db_instance.unwrap()
    }

    /// A call that makes an instance that stands alone.
    pub(crate) fn create_alone(
        &self,
        name: &str,
    ) -> aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder {
        let make = self.aws.rds.create_db_instance().db_instance_identifier(name).engine("postgres");
        let make = make.db_instance_class("db.t3.micro").allocated_storage(20).db_subnet_group_name("dbs");
        make.master_username("master").master_user_password(PASSWORD).vpc_security_group_ids(&self.group)
    }

    pub(crate) async fn describe(&self, cluster: &str) -> DbCluster {
        let found = self.aws.rds.describe_db_clusters().db_cluster_identifier(cluster).send().await.unwrap();
        found.db_clusters.unwrap().remove(0)
    }

    pub(crate) async fn describe_instance(&self, name: &str) -> DbInstance {
        let found = self.aws.rds.describe_db_instances().db_instance_identifier(name).send().await.unwrap();
        found.db_instances.unwrap().remove(0)
    }

    pub(crate) fn wait(&self) {
        self.aws.sandbox.clock().advance(SLOW);
    }
}

/// The SDK's own waiters read the states.
#[tokio::test(start_paused = true)]
async fn the_sdk_waits_for_databases() {
    let db = db().await;
    db.cluster("one").await;
    let rds = &db.aws.rds;
    let most = Duration::from_secs(1);
    rds.wait_until_db_cluster_available().db_cluster_identifier("one").wait(most).await.unwrap();
    rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send().await.unwrap();
    db.wait();
    rds.wait_until_db_cluster_deleted().db_cluster_identifier("one").wait(most).await.unwrap();
}
