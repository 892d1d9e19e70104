//! AWS Lambda: functions and who may invoke them.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.

pub mod function;
pub mod permission;

use aws_sdk_lambda::types::FunctionConfiguration;
use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::OpResult;

use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::FunctionName;
use crate::named::Named;
use crate::tags::{self, Tags};

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_lambda::Client> {
    Ok(cx.get::<AwsContext>()?.lambda(cx))
}

/// A function and its tags.
#[derive(Debug)]
struct There {
    now: FunctionConfiguration,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "Lambda function";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.get_function().function_name(name).send().await;
        let reply = found(sent.map_err(|e| op_error(Call::new("lambda:GetFunction", name), e)))?;
        Ok(reply.and_then(|reply| {
            let pairs = reply.tags.iter().flatten().map(|(key, value)| (Some(key.as_str()), Some(value.as_str())));
            Some(Self { tags: tags::read(pairs), now: reply.configuration? })
        }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.function_arn().unwrap_or_default()
    }
}

fn arn(name: &FunctionName) -> String {
    format!("arn:{{partition}}:lambda:{{region}}:{{account}}:function:{name}")
}

/// Holds a function's name to Lambda's rules.
fn check_name(name: &FunctionName, errors: &mut Vec<ParamError>) {
    let text = name.as_str();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(1..=64).contains(&text.len()) || !text.chars().all(fits) {
        let message = format!("{text:?} is not 1 to 64 letters, digits, - and _");
        errors.push(ParamError::new("function_name", message));
    }
}
