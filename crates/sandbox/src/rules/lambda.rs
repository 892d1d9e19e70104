//! Lambda: functions and their policies.
//!
//! A new function is pending for a while. Its role must be one that Lambda can assume by now, and its code must be
//! there. Replies about functions are written here: the emulator's have neither states nor tags.
//!
//! ```text
//!          create             settle            delete
//! (none) --------> Pending -----------> Active --------> (none)
//! ```

mod policy;

use serde_json::{Value, json};

use super::Desk;
use super::s3::SHA256;
use crate::input::{Body, Input};
use crate::notes::{Answer, Reply};
use crate::picture::lambda::Function;
use crate::picture::s3;
use crate::refusal::Refusal;
use crate::service::Service;

/// Runtimes that no function can be made with any more.
const ENDED: &[&str] = &[
    "dotnet6",
    "dotnetcore3.1",
    "go1.x",
    "java8",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "provided",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "ruby2.7",
];

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    match input.action.as_str() {
        "CreateFunction" => create(desk, input, body).await,
        "GetFunction" => {
            let (arn, function) = find(desk, body)?;
            let code = json!({"RepositoryType": "S3"});
            let reply =
                json!({"Configuration": configuration(desk, &arn, function), "Code": code, "Tags": function.tags});
            Ok(Answer::json(&reply))
        }
        "GetFunctionConfiguration" => {
            let (arn, function) = find(desk, body)?;
            Ok(Answer::json(&configuration(desk, &arn, function)))
        }
        "DeleteFunction" => {
            let name = find(desk, body)?.1.name.clone();
            let answer = desk.pass_on(input).await?;
            desk.emulator.forget_permissions(&name).await;
            desk.look();
            Ok(answer)
        }
        "UpdateFunctionConfiguration" | "UpdateFunctionCode" => {
            let (arn, _) = find(desk, body)?;
            if desk.is_pending(&arn) {
                let message = "The operation cannot be performed at this time. The function is currently in the \
                               following state: Pending";
                return Err(conflict(message));
            }
            let _ = desk.pass_on(input).await?;
            let (arn, function) = find(desk, body)?;
            Ok(Answer::json(&configuration(desk, &arn, function)))
        }
        "AddPermission" => policy::add(desk, input, body).await,
        "GetPolicy" => policy::get(desk, body),
        "RemovePermission" => policy::remove(desk, input, body).await,
        // A call that has no more rules here yet.
        _ => desk.pass_on(input).await,
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterValueException", message.into())
}

fn conflict(message: impl Into<String>) -> Refusal {
    Refusal::new("ResourceConflictException", message.into()).with_status(409)
}

fn not_found(message: impl Into<String>) -> Refusal {
    Refusal::new("ResourceNotFoundException", message.into()).with_status(404)
}

fn arn_of(desk: &Desk<'_>, name: &str) -> String {
    desk.place.arn(Service::Lambda, &format!("function:{name}"))
}

/// The function of a call, which names it by its name or its ARN.
fn find<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(String, &'a Function), Refusal> {
    let given = body.required("FunctionName")?;
    let arn = arn_of(desk, given.rsplit(':').next().unwrap_or(given));
    match desk.picture().lambda.functions.get(&arn) {
        Some(function) => Ok((arn, function)),
        None => Err(not_found(format!("Function not found: {arn}"))),
    }
}

async fn create(desk: &mut Desk<'_>, input: &Input, body: &Body) -> Result<Answer, Refusal> {
    let name = body.required("FunctionName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 64 || !name.chars().all(fits) {
        return Err(Refusal::new(
            "ValidationException",
            format!("1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint"),
        ));
    }
    let runtime = body.required("Runtime")?;
    if ENDED.contains(&runtime) {
        return Err(invalid(format!(
            "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions."
        )));
    }
    let trusts = |role: &crate::picture::iam::Role| role.trust.contains("lambda.amazonaws.com");
    if !desk.role(body.required("Role")?).is_some_and(trusts) {
        return Err(invalid("The role defined for the function cannot be assumed by Lambda."));
    }
    let code = body.get("Code").cloned().unwrap_or_default();
    let text = |name: &str| code.get(name).and_then(Value::as_str);
    let from_s3 = match (text("S3Bucket"), text("S3Key")) {
        (Some(bucket), Some(key)) => Some(code_in_s3(desk, bucket, key)?),
        _ if text("ZipFile").is_some_and(|zip| !zip.is_empty()) => None,
        _ => return Err(invalid("Please provide a source for function code.")),
    };
    let arn = arn_of(desk, name);
    if desk.picture().lambda.functions.contains_key(&arn) {
        return Err(conflict(format!("Function already exist: {name}")));
    }
    desk.emulator.act_rest(Service::Lambda, input.rest()?).await?;
    if let Some((sha256, size)) = from_s3 {
        desk.emulator.set_code(name, sha256, size).await;
    }
    desk.look();
    desk.settle(&arn);
    let (arn, function) = find(desk, body)?;
    let body = configuration(desk, &arn, function).to_string().into();
    Ok(Answer::Rest(Reply { status: 201, body, ..Reply::default() }))
}

/// The digest and the size of code in S3.
fn code_in_s3(desk: &Desk<'_>, bucket: &str, key: &str) -> Result<(String, i64), Refusal> {
    let failed = |code: &str| {
        invalid(format!("Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: it is not there"))
    };
    let s3 = &desk.picture().s3;
    if !s3.buckets.contains_key(&s3::arn(bucket, None)) {
        return Err(failed("NoSuchBucket"));
    }
    let arn = s3::arn(bucket, Some(key));
    let object = s3.objects.get(&arn).filter(|object| object.live);
    let newest = object.and_then(|object| object.versions.first()).ok_or_else(|| failed("NoSuchKey"))?;
    let sha256 = desk.notes().fact(&arn, SHA256).and_then(Value::as_str).unwrap_or_default();
    Ok((sha256.to_owned(), i64::try_from(newest.size).unwrap_or(i64::MAX)))
}

/// A function as in a reply.
fn configuration(desk: &Desk<'_>, arn: &str, function: &Function) -> Value {
    let mut it = json!({
        "FunctionName": function.name,
        "FunctionArn": arn,
        "Runtime": function.runtime,
        "Role": function.role,
        "Handler": function.handler,
        "CodeSize": function.code_size,
        "CodeSha256": function.code_sha256,
        "Description": function.description,
        "Timeout": function.timeout,
        "MemorySize": function.memory,
        "Version": "$LATEST",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "State": if desk.is_pending(arn) { "Pending" } else { "Active" },
        "LastUpdateStatus": "Successful",
    });
    if !function.environment.is_empty() {
        it["Environment"] = json!({"Variables": function.environment});
    }
    it
}
