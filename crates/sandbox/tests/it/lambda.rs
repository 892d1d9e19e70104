use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, Runtime, State};

use crate::support::{Aws, SETTLE, aws, refused_with};

impl Aws {
    fn function(
        &self,
        role: &str,
    ) -> aws_sdk_lambda::operation::create_function::builders::CreateFunctionFluentBuilder {
        let code = FunctionCode::builder().zip_file(Blob::new(b"zip")).build();
        let create = self.lambda.create_function().function_name("app").role(role).handler("a.b").code(code);
        create.runtime(Runtime::Python313).tags("a", "b")
    }

    fn permission(&self) -> aws_sdk_lambda::operation::add_permission::builders::AddPermissionFluentBuilder {
        let add = self.lambda.add_permission().function_name("app").statement_id("s").action("lambda:InvokeFunction");
        add.principal("sns.amazonaws.com").source_arn("arn:aws:sns:us-east-1:123456789012:t")
    }
}

#[tokio::test]
async fn a_function_is_pending_first() {
    let aws = aws();
    let role = aws.role_for("lambda.amazonaws.com").await;
    let made = aws.function(&role).send().await.unwrap();
    assert_eq!(made.state(), Some(&State::Pending));
    let change = aws.lambda.update_function_configuration().function_name("app").timeout(7);
    refused_with(change.clone().send().await, 409, "ResourceConflictException");
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(change.send().await.unwrap().timeout(), Some(7));
    let found = aws.lambda.get_function().function_name("app").send().await.unwrap();
    assert_eq!(found.configuration().unwrap().state(), Some(&State::Active));
    assert_eq!(found.tags().unwrap()["a"], "b");
    refused_with(aws.function(&role).send().await, 409, "ResourceConflictException");
    aws.lambda.delete_function().function_name("app").send().await.unwrap();
    refused_with(aws.lambda.get_function().function_name("app").send().await, 404, "ResourceNotFoundException");
}

#[tokio::test]
async fn what_a_function_needs_must_be_there() {
    let aws = aws();
    let role = aws.role_for("lambda.amazonaws.com").await;
    let wrong = "InvalidParameterValueException";
    refused_with(aws.function("arn:aws:iam::123456789012:role/none").send().await, 400, wrong);
    refused_with(aws.function(&role).runtime(Runtime::Python39).send().await, 400, wrong);
    let in_s3 = FunctionCode::builder().s3_bucket("app-data").s3_key("k").build();
    let from_s3 = aws.function(&role).code(in_s3);
    refused_with(from_s3.clone().send().await, 400, wrong);
    aws.bucket("app-data").await;
    aws.object("app-data", "k", "hello").await;
    let made = from_s3.send().await.unwrap();
    assert_eq!(made.code_sha256(), Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
}

#[tokio::test]
async fn a_permission_is_a_statement_that_goes_with_its_function() {
    let aws = aws();
    let role = aws.role_for("lambda.amazonaws.com").await;
    aws.function(&role).send().await.unwrap();
    let policy = || aws.lambda.get_policy().function_name("app");
    refused_with(policy().send().await, 404, "ResourceNotFoundException");
    aws.permission().send().await.unwrap();
    refused_with(aws.permission().send().await, 409, "ResourceConflictException");
    let read = policy().send().await.unwrap();
    assert!(read.policy().unwrap().contains(r#""AWS:SourceArn":"arn:aws:sns:us-east-1:123456789012:t""#));
    let remove = aws.lambda.remove_permission().function_name("app").statement_id("s");
    refused_with(remove.clone().revision_id("other").send().await, 412, "PreconditionFailedException");
    remove.revision_id(read.revision_id().unwrap()).send().await.unwrap();
    refused_with(policy().send().await, 404, "ResourceNotFoundException");
    // Another function of that name has none of it.
    aws.permission().send().await.unwrap();
    aws.lambda.delete_function().function_name("app").send().await.unwrap();
    aws.function(&role).send().await.unwrap();
    refused_with(policy().send().await, 404, "ResourceNotFoundException");
}
