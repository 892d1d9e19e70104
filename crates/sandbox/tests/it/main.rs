//! The sandbox as its callers see it: the real AWS SDK, a socket, the AWS CLI.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod ecr;
mod ecs;
mod elastic_ip;
mod endpoint;
mod faults;
mod faults_meddle;
mod faults_proxy;
mod faults_stuck;
mod gateway;
mod group;
mod iam_policy;
mod iam_role;
mod interface;
mod kms;
mod logs;
mod nat;
mod places;
mod protocols;
mod rds;
mod rds_cluster;
mod rds_instance;
mod rds_parameter_group;
mod rds_subnet_group;
mod requests;
mod route;
mod rule;
mod secrets;
mod snapshot;
mod subnet;
mod support;
mod table;
mod tagging;
mod tags;
mod vpc;
