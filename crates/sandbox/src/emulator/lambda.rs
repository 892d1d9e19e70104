//! Lambda: from the emulator's state view to the section of the picture.

use winterbaume_lambda::LambdaStateView;

use super::Emulator;
use crate::picture::lambda::{Function, Lambda, Permission};

/// Reads all that exists.
pub(super) fn picture_of(view: &LambdaStateView) -> Lambda {
    let functions = view.functions.values().map(|it| {
        let permissions = view.function_permissions.get(&it.function_name).into_iter().flatten().map(|of| {
            let permission = Permission {
                action: of.action.clone(),
                principal: of.principal.clone(),
                source_arn: of.source_arn.clone(),
                source_account: of.source_account.clone(),
            };
            (of.statement_id.clone(), permission)
        });
        let function = Function {
            name: it.function_name.clone(),
            runtime: it.runtime.clone(),
            handler: it.handler.clone(),
            role: it.role.clone(),
            description: it.description.clone(),
            code_sha256: it.code_sha256.clone(),
            code_size: it.code_size,
            memory: it.memory_size,
            timeout: it.timeout,
            environment: it.environment.clone().into_iter().collect(),
            permissions: permissions.collect(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.function_arn.clone(), function)
    });
    Lambda { functions: functions.collect() }
}

impl Emulator {
    /// Takes away the policy of a function that is gone: another one of its name has none of it.
    pub(crate) async fn forget_permissions(&self, function: &str) {
        self.edit(|view: &mut LambdaStateView| drop(view.function_permissions.remove(function))).await;
    }

    /// Says what the code of a function is that came from S3: the emulator does not look there.
    pub(crate) async fn set_code(&self, function: &str, sha256: String, size: i64) {
        self.edit(|view: &mut LambdaStateView| {
            if let Some(it) = view.functions.get_mut(function) {
                (it.code_sha256, it.code_size) = (sha256, size);
            }
        })
        .await;
    }
}
