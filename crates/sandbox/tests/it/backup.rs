use aws_sdk_backup::types::{BackupJobState, BackupPlanInput, BackupRuleInput};

use crate::support::{Aws, SETTLE, aws, refused};

const BUCKET: &str = "arn:aws:s3:::app-data";

impl Aws {
    async fn vault(&self) {
        self.backup.create_backup_vault().backup_vault_name("app").backup_vault_tags("a", "b").send().await.unwrap();
    }

    fn backup_of(
        &self,
        role: &str,
    ) -> aws_sdk_backup::operation::start_backup_job::builders::StartBackupJobFluentBuilder {
        let start = self.backup.start_backup_job().backup_vault_name("app").resource_arn(BUCKET).iam_role_arn(role);
        start.idempotency_token("t").recovery_point_tags("c", "d")
    }

    async fn job_state(&self, id: &str) -> BackupJobState {
        self.backup.describe_backup_job().backup_job_id(id).send().await.unwrap().state.unwrap()
    }
}

#[tokio::test]
async fn a_job_runs_and_leaves_a_recovery_point_that_keeps_its_vault() {
    let aws = aws();
    let role = aws.role_for("backup.amazonaws.com").await;
    refused(aws.backup_of(&role).send().await, "ResourceNotFoundException");
    aws.vault().await;
    refused(aws.backup_of(&role).send().await, "ResourceNotFoundException");
    aws.bucket("app-data").await;
    refused(aws.backup_of("arn:aws:iam::123456789012:role/none").send().await, "InvalidParameterValueException");
    let id = aws.backup_of(&role).send().await.unwrap().backup_job_id.unwrap();
    // The same call again is the same job.
    assert_eq!(aws.backup_of(&role).send().await.unwrap().backup_job_id.unwrap(), id);
    assert_eq!(aws.job_state(&id).await, BackupJobState::Running);
    let snapshot = aws.sandbox.snapshot().await;
    aws.sandbox.reset().await;
    aws.sandbox.restore(&snapshot).await;
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(aws.job_state(&id).await, BackupJobState::Completed);
    let points = aws.backup.list_recovery_points_by_backup_vault().backup_vault_name("app").send().await.unwrap();
    let point = points.recovery_points()[0].recovery_point_arn().unwrap();
    assert_eq!(aws.backup.list_tags().resource_arn(point).send().await.unwrap().tags().unwrap()["c"], "d");
    let delete = aws.backup.delete_backup_vault().backup_vault_name("app");
    refused(delete.clone().send().await, "InvalidRequestException");
    let remove = aws.backup.delete_recovery_point().backup_vault_name("app").recovery_point_arn(point);
    remove.send().await.unwrap();
    delete.send().await.unwrap();
    assert_eq!(aws.job_state(&id).await, BackupJobState::Completed, "it is remembered");
    assert!(aws.backup.list_backup_vaults().send().await.unwrap().backup_vault_list().is_empty());
}

#[tokio::test]
async fn a_job_that_runs_can_be_stopped() {
    let aws = aws();
    let role = aws.role_for("backup.amazonaws.com").await;
    aws.vault().await;
    aws.bucket("app-data").await;
    let id = aws.backup_of(&role).send().await.unwrap().backup_job_id.unwrap();
    aws.backup.stop_backup_job().backup_job_id(&id).send().await.unwrap();
    assert_eq!(aws.job_state(&id).await, BackupJobState::Aborted);
    assert!(aws.sandbox.world().await.residue.is_empty());
}

#[tokio::test]
async fn a_plan_is_held_to_the_rules_and_shown_with_defaults() {
    let aws = aws();
    let create = |start: i64| {
        let rule = BackupRuleInput::builder().rule_name("daily").target_backup_vault_name("app");
        let rule = rule.start_window_minutes(start).build().unwrap();
        let plan = BackupPlanInput::builder().backup_plan_name("daily").rules(rule).build().unwrap();
        aws.backup.create_backup_plan().backup_plan(plan).backup_plan_tags("a", "b").send()
    };
    refused(create(60).await, "InvalidParameterValueException");
    aws.vault().await;
    refused(create(59).await, "InvalidParameterValueException");
    let made = create(60).await.unwrap();
    refused(create(60).await, "AlreadyExistsException");
    let id = made.backup_plan_id().unwrap();
    let plan = aws.backup.get_backup_plan().backup_plan_id(id).send().await.unwrap().backup_plan.unwrap();
    let rule = &plan.rules()[0];
    assert_eq!((rule.start_window_minutes(), rule.completion_window_minutes()), (Some(60), Some(10080)));
    aws.backup.delete_backup_plan().backup_plan_id(id).send().await.unwrap();
    assert!(aws.backup.list_backup_plans().send().await.unwrap().backup_plans_list().is_empty());
    refused(aws.backup.get_backup_plan().backup_plan_id(id).send().await, "ResourceNotFoundException");
}
