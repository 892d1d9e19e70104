use std::time::Duration;

use aws_sdk_ec2::types::{NatGatewayState, SubnetState, VpcState};
use switchback_sandbox::{Effect, Fault, Plan};

use crate::rds::db;
use crate::support::{Aws, aws, refused};

const LONG: Duration = Duration::from_secs(24 * 3600);

async fn state(aws: &Aws, vpc: &str) -> VpcState {
    let found = aws.ec2.describe_vpcs().vpc_ids(vpc).send().await.unwrap();
    found.vpcs.unwrap().remove(0).state.unwrap()
}

async fn nat_state(aws: &Aws, id: &str) -> NatGatewayState {
    let found = aws.ec2.describe_nat_gateways().nat_gateway_ids(id).send().await.unwrap();
    found.nat_gateways.unwrap().remove(0).state.unwrap()
}

/// A NAT gateway that is available.
async fn nat(aws: &Aws) -> String {
    let vpc = aws.vpc().await;
    aws.attached(&vpc).await;
    let id = aws.nat(&aws.subnet(&vpc, "10.0.1.0/24").await).await;
    aws.pass().await;
    id
}

#[tokio::test]
async fn what_is_made_stays_pending_until_the_faults_are_cleared() {
    let aws = aws();
    aws.sandbox.faults().add(Fault::new("CreateVpc", Effect::Stuck));
    let (stuck, other) = (aws.vpc().await, aws.vpc().await);
    aws.sandbox.clock().advance(LONG);
    assert_eq!((state(&aws, &stuck).await, state(&aws, &other).await), (VpcState::Pending, VpcState::Available));
    let calls = aws.sandbox.faults().calls();
    assert_eq!((calls[0].fault.as_deref(), &calls[0].touched), (Some("stuck"), &vec![stuck.clone()]));
    assert!(calls[1].touched.is_empty());
    aws.sandbox.faults().set(Plan::default());
    assert_eq!(state(&aws, &stuck).await, VpcState::Available);
}

#[tokio::test]
async fn what_is_deleted_stays_so_and_then_goes() {
    let aws = aws();
    let id = nat(&aws).await;
    aws.sandbox.faults().add(Fault::new("DeleteNatGateway", Effect::Stuck));
    aws.ec2.delete_nat_gateway().nat_gateway_id(&id).send().await.unwrap();
    aws.sandbox.clock().advance(LONG);
    assert_eq!(nat_state(&aws, &id).await, NatGatewayState::Deleting);
    aws.sandbox.faults().clear();
    assert_eq!(nat_state(&aws, &id).await, NatGatewayState::Deleted);
}

#[tokio::test]
async fn a_later_state_is_not_stuck() {
    let aws = aws();
    let vpc = aws.vpc().await;
    aws.attached(&vpc).await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    aws.sandbox.faults().add(Fault::new("CreateNatGateway", Effect::Stuck));
    let id = aws.nat(&subnet).await;
    aws.sandbox.clock().advance(LONG);
    assert_eq!(nat_state(&aws, &id).await, NatGatewayState::Pending);
    aws.ec2.delete_nat_gateway().nat_gateway_id(&id).send().await.unwrap();
    assert_eq!(nat_state(&aws, &id).await, NatGatewayState::Deleting);
    aws.pass().await;
    assert_eq!(nat_state(&aws, &id).await, NatGatewayState::Deleted);
}

#[tokio::test]
async fn snapshots_hold_it() {
    let aws = aws();
    aws.sandbox.faults().add(Fault::new("CreateSubnet", Effect::Stuck));
    let subnet = aws.subnet(&aws.vpc().await, "10.0.1.0/24").await;
    let seen = async || {
        aws.sandbox.clock().advance(LONG);
        let found = aws.ec2.describe_subnets().subnet_ids(&subnet).send().await.unwrap();
        found.subnets.unwrap().remove(0).state.unwrap()
    };
    let stuck = aws.sandbox.snapshot().await;
    // Cleared before the snapshot: the snapshot is of a world that goes on.
    aws.sandbox.faults().clear();
    let free = aws.sandbox.snapshot().await;
    assert_eq!(seen().await, SubnetState::Available);
    // Cleared before it is restored: stuck as it was.
    aws.sandbox.faults().clear();
    aws.sandbox.restore(&stuck).await;
    assert_eq!(seen().await, SubnetState::Pending);
    aws.sandbox.restore(&free).await;
    assert_eq!(seen().await, SubnetState::Available);
    // And after it: goes on.
    aws.sandbox.restore(&stuck).await;
    aws.sandbox.faults().clear();
    assert_eq!(seen().await, SubnetState::Available);
}

#[tokio::test]
async fn databases_stay_in_their_order() {
    let db = db().await;
    let faults = db.aws.sandbox.faults();
    faults.add(Fault::new("CreateDBCluster", Effect::Stuck));
    db.cluster("one").await;
    db.member("m", "one").await;
    db.aws.sandbox.clock().advance(LONG);
    assert_eq!(db.describe("one").await.status(), Some("creating"));
    // A member is not made before its cluster is.
    assert_eq!(db.describe_instance("m").await.db_instance_status(), Some("creating"));
    faults.set(Plan { faults: vec![Fault::new("DeleteDBInstance", Effect::Stuck)], ..Plan::default() });
    // It goes on at the next look.
    assert_eq!(db.describe("one").await.status(), Some("available"));
    db.wait();
    assert_eq!(db.describe_instance("m").await.db_instance_status(), Some("available"));
    let rds = &db.aws.rds;
    rds.delete_db_instance().db_instance_identifier("m").send().await.unwrap();
    rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send().await.unwrap();
    db.aws.sandbox.clock().advance(LONG);
    assert_eq!(db.describe_instance("m").await.db_instance_status(), Some("deleting"));
    assert_eq!(db.describe("one").await.status(), Some("deleting"));
    faults.clear();
    assert_eq!(db.aws.sandbox.world().await.counts.get("db-instance"), None);
    db.wait();
    let counts = db.aws.sandbox.world().await.counts;
    assert_eq!((counts.get("db-cluster"), counts.get("db-instance")), (None, None));
}

#[tokio::test]
async fn what_leaves_nothing_pending_is_not_touched() {
    let aws = aws();
    let vpc = aws.vpc().await;
    aws.pass().await;
    aws.sandbox.faults().forget_calls();
    aws.sandbox.faults().add(Fault::new("*", Effect::Stuck).times(0));
    aws.group(&vpc, "web").await;
    assert_eq!(state(&aws, &vpc).await, VpcState::Available);
    refused(aws.ec2.create_subnet().vpc_id(&vpc).cidr_block("10.9.0.0/16").send().await, "InvalidSubnet.Range");
    assert!(aws.sandbox.faults().calls().iter().all(|call| call.touched.is_empty()));
}
