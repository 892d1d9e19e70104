use aws_sdk_ec2::types::ResourceType;
use switchback_sandbox::{Quotas, Sandbox};

use crate::support::{aws, aws_from, filter, refused, refused_with, tagged};

#[tokio::test]
async fn an_address_is_allocated_described_and_released() {
    let aws = aws();
    let made = aws.ec2.allocate_address().tag_specifications(tagged(ResourceType::ElasticIp, "run", "1"));
    let made = made.send().await.unwrap();
    let id = made.allocation_id().unwrap();
    aws.address().await;
    let found = aws.ec2.describe_addresses().filters(filter("tag:run", "1")).send().await.unwrap();
    assert_eq!(found.addresses().len(), 1);
    assert_eq!((found.addresses()[0].allocation_id(), found.addresses()[0].public_ip()), (Some(id), made.public_ip()));
    assert_eq!(found.addresses()[0].tags()[0].key(), Some("run"));
    let tags = aws.ec2.describe_tags().filters(filter("resource-type", "elastic-ip")).send().await.unwrap();
    assert_eq!(tags.tags()[0].resource_id(), Some(id));
    let by_ip = aws.ec2.describe_addresses().public_ips(made.public_ip().unwrap()).send().await.unwrap();
    assert_eq!(by_ip.addresses().len(), 1);
    refused(aws.ec2.describe_addresses().public_ips("1.2.3.4").send().await, "InvalidAddress.NotFound");

    let release = || aws.ec2.release_address().allocation_id(id);
    refused_with(release().dry_run(true).send().await, 412, "DryRunOperation");
    release().send().await.unwrap();
    refused(release().send().await, "InvalidAllocationID.NotFound");
    refused(aws.ec2.describe_addresses().allocation_ids(id).send().await, "InvalidAllocationID.NotFound");
    refused(aws.ec2.release_address().allocation_id("eip-1").send().await, "InvalidAllocationID.Malformed");
}

#[tokio::test]
async fn there_are_only_so_many_addresses() {
    let aws = aws_from(Sandbox::builder().quotas(Quotas { elastic_ips: Some(1), ..Quotas::default() }));
    aws.address().await;
    refused(aws.ec2.allocate_address().send().await, "AddressLimitExceeded");
}

#[tokio::test]
async fn an_address_in_use_is_not_released() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let interface = aws.interface(&subnet, None).await;
    let id = aws.address().await;
    let associate = || aws.ec2.associate_address().allocation_id(&id).network_interface_id(&interface);
    refused(associate().send().await, "Gateway.NotAttached");
    aws.attached(&vpc).await;
    let association = associate().send().await.unwrap().association_id.unwrap();
    refused(associate().allow_reassociation(false).send().await, "Resource.AlreadyAssociated");
    let found = aws.ec2.describe_addresses().filters(filter("association-id", &association)).send().await.unwrap();
    assert_eq!(found.addresses()[0].network_interface_id(), Some(interface.as_str()));
    let release = || aws.ec2.release_address().allocation_id(&id).send();
    refused(release().await, "InvalidIPAddress.InUse");
    let disassociate = || aws.ec2.disassociate_address().association_id(&association).send();
    disassociate().await.unwrap();
    refused(disassociate().await, "InvalidAssociationID.NotFound");
    release().await.unwrap();
}

#[tokio::test]
async fn the_address_of_a_nat_gateway_is_held() {
    let aws = aws();
    let vpc = aws.vpc().await;
    aws.attached(&vpc).await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let nat = aws.nat(&subnet).await;
    let found = aws.ec2.describe_addresses().send().await.unwrap();
    let held = &found.addresses()[0];
    let (id, association) = (held.allocation_id().unwrap(), held.association_id().unwrap());
    assert!(held.network_interface_id().is_some() && held.private_ip_address().is_some());
    let release = || aws.ec2.release_address().allocation_id(id).send();
    refused(release().await, "InvalidIPAddress.InUse");
    refused_with(aws.ec2.disassociate_address().association_id(association).send().await, 403, "AuthFailure");
    aws.ec2.delete_nat_gateway().nat_gateway_id(&nat).send().await.unwrap();
    refused(release().await, "InvalidIPAddress.InUse");
    aws.pass().await;
    release().await.unwrap();
}
