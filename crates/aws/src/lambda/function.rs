//! `aws.lambda.function`: a function, of text files or of an archive in S3.
//!
//! What runs it is its role, which must be there and trust Lambda before the function is made: a role that was made a
//! moment ago is waited for. Files are put into an archive that is the same for the same files, so its digest is known
//! in advance, and `verify` compares it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, FunctionConfiguration, LastUpdateStatus, Runtime, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{There, arn, check_name, client};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{BucketName, FunctionArn, FunctionName, ObjectKey, RoleArn};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};
use crate::zip;

/// A new function is active within seconds; its role may take a minute to be seen.
const CREATE_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// AWS's limit on all names and values together, in bytes.
const MOST_ENVIRONMENT: usize = 4096;
/// Runtimes with which AWS lets no function be made any more, or soon will not.
const ENDED: &[&str] = &[
    "dotnet6",
    "dotnetcore",
    "go1.x",
    "java8",
    "nodejs10.",
    "nodejs12.",
    "nodejs14.",
    "nodejs16.",
    "nodejs18.",
    "nodejs4.",
    "nodejs6.",
    "nodejs8.",
    "provided",
    "python2.",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "ruby2.",
];
/// Those that begin like one of them and are not.
const NOT_ENDED: &[&str] = &["java8.al2", "provided.al2", "provided.al2023"];

/// A Lambda function and its code, without anything that invokes it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 64 letters, digits, `-` and `_` (`CreateFunction` FunctionName).
    pub function_name: FunctionName,
    /// What runs it, `python3.13` (`CreateFunction` Runtime).
    pub runtime: String,
    /// The role that it acts as, which trusts `lambda.amazonaws.com` (`CreateFunction` Role).
    pub role: RoleArn,
    /// Where it begins: `rollback.handler` is `handler` in `rollback.py` (`CreateFunction` Handler).
    pub handler: String,
    /// Its code: text files by their names. This or `code`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Its code: an archive in S3 (`CreateFunction` Code). This or `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What it is for: up to 256 characters (`CreateFunction` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it finds in its environment; nothing secret (`CreateFunction` Environment).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// How long it may run, in seconds: 1 to 900 (`CreateFunction` Timeout). AWS's default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i32>,
    /// Its memory in MB: 128 to 10240 (`CreateFunction` MemorySize). AWS's default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_size: Option<i32>,
    /// Tags, beside those that say whose it is (`CreateFunction` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// An archive in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The bucket, in the region of the function.
    pub s3_bucket: BucketName,
    /// The key of the archive.
    pub s3_key: ObjectKey,
    /// Which version of it. By default: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_object_version: Option<String>,
    /// What its SHA-256 digest must be, in base 64: the `sha256` of an `aws.s3.object`. `verify` compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub function_name: FunctionName,
    /// Its ARN. A function of the same name that is made later has the same one.
    pub function_arn: FunctionArn,
    /// The version that is made: `$LATEST`.
    pub version: String,
    /// The SHA-256 digest of its code, in base 64.
    pub code_sha256: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Function;

fn output(now: &FunctionConfiguration) -> Output {
    Output {
        function_name: FunctionName::new(now.function_name().unwrap_or_default()),
        function_arn: FunctionArn::new(now.function_arn().unwrap_or_default()),
        version: now.version().unwrap_or_default().to_owned(),
        code_sha256: now.code_sha256().unwrap_or_default().to_owned(),
    }
}

fn environment(now: &FunctionConfiguration) -> Value {
    let variables = now.environment().and_then(|held| held.variables());
    json!(variables.into_iter().flatten().collect::<BTreeMap<_, _>>())
}

impl Params {
    fn code(&self) -> FunctionCode {
        let code = FunctionCode::builder();
        match &self.code {
            Some(code_in_s3) => code
                .s3_bucket(code_in_s3.s3_bucket.as_str())
                .s3_key(code_in_s3.s3_key.as_str())
                .set_s3_object_version(code_in_s3.s3_object_version.clone())
                .build(),
            None => code.zip_file(Blob::new(zip::archive(&self.files))).build(),
        }
    }

    /// The digest that its code must have, where it is known.
    fn digest(&self) -> Option<String> {
        match &self.code {
            Some(code) => code.sha256.clone(),
            None => Some(zip::sha256(&zip::archive(&self.files))),
        }
    }
}

fn is_ended(runtime: &str) -> bool {
    ENDED.iter().any(|ended| runtime.starts_with(ended)) && !NOT_ENDED.contains(&runtime)
}

fn check_environment(environment: &Tags, errors: &mut Vec<ParamError>) {
    let mut wrong = |message: String| errors.push(ParamError::new("environment", message));
    for name in environment.keys() {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(fits) || name.len() < 2 {
            wrong(format!("{name:?} is not a letter and then letters, digits and _"));
        }
        if name.starts_with("AWS_") || name == "LAMBDA_TASK_ROOT" || name == "LAMBDA_RUNTIME_DIR" {
            wrong(format!("{name:?} is Lambda's own"));
        }
    }
    let held: usize = environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    if held > MOST_ENVIRONMENT {
        wrong(format!("names and values have up to {MOST_ENVIRONMENT} bytes together, these have {held}"));
    }
}

impl Operation for Function {
    const KIND: &'static str = "aws.lambda.function";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["lambda:GetFunction"],
            creates: "lambda:CreateFunction",
            settles: Vec::new(),
            rolls_back: vec!["lambda:DeleteFunction"],
            besides: match &params.code {
                // Lambda reads the archive as the caller.
                Some(_) => &["lambda:TagResource", "iam:PassRole", "s3:GetObject", "s3:GetObjectVersion"],
                None => &["lambda:TagResource", "iam:PassRole"],
            },
        };
        let name = &params.function_name;
        Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            residue: vec![format!("the log group `/aws/lambda/{name}` that Lambda makes when the function runs stays")],
            arns: vec![arn(name)],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            function_name: FunctionName::new("app-rollback"),
            runtime: "python3.13".to_owned(),
            role: RoleArn::new("arn:aws:iam::123456789012:role/app-rollback"),
            handler: "rollback.handler".to_owned(),
            files: BTreeMap::new(),
            code: Some(Code {
                s3_bucket: BucketName::new("app-artifacts-123456789012"),
                s3_key: ObjectKey::new("rollback-handler.zip"),
                s3_object_version: Some("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH".to_owned()),
                sha256: Some("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned()),
            }),
            description: Some("Scales the services back".to_owned()),
            environment: BTreeMap::from([("CLUSTER_NAME".to_owned(), "app".to_owned())]),
            timeout: Some(60),
            memory_size: Some(256),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(&params.function_name, &mut errors);
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        if is_ended(&params.runtime) {
            let runtime = &params.runtime;
            wrong("runtime", format!("AWS has ended its support of `{runtime}`: take a newer one, `python3.13`"));
        }
        if params.runtime.is_empty() {
            wrong("runtime", "names what runs it, `python3.13`".to_owned());
        }
        let handler = &params.handler;
        if !(1..=128).contains(&handler.len()) || handler.contains(char::is_whitespace) {
            wrong("handler", format!("{handler:?} is not 1 to 128 characters without spaces"));
        }
        if params.code.is_some() != params.files.is_empty() {
            wrong("code", "give either `code` or `files`".to_owned());
        }
        if params.description.as_ref().is_some_and(|text| text.chars().count() > 256) {
            wrong("description", "has up to 256 characters".to_owned());
        }
        if params.timeout.is_some_and(|seconds| !(1..=900).contains(&seconds)) {
            wrong("timeout", "is 1 to 900 seconds".to_owned());
        }
        if params.memory_size.is_some_and(|size| !(128..=10240).contains(&size)) {
            wrong("memory_size", "is 128 to 10240 MB".to_owned());
        }
        params.role.check("role", &mut errors);
        zip::check(&params.files, "files", &mut errors);
        check_environment(&params.environment, &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, params.function_name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "function_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.function_name.as_str();
        let variables = || Environment::builder().set_variables(Some(params.environment.clone().into_iter().collect()));
        let reply = client(cx)?
            .create_function()
            .function_name(name)
            .runtime(Runtime::from(params.runtime.as_str()))
            .role(params.role.as_str())
            .handler(&params.handler)
            .code(params.code())
            .set_description(params.description.clone())
            .set_environment((!params.environment.is_empty()).then(|| variables().build()))
            .set_timeout(params.timeout)
            .set_memory_size(params.memory_size)
            .set_tags(Some(tags::all(cx, &params.tags).into_iter().collect()))
            .send()
            .await
            .map_err(|e| op_error(Call::new("lambda:CreateFunction", name).just_made(), e))?;
        let arn = reply.function_arn().ok_or_else(|| nameless("lambda:CreateFunction", name))?;
        Ok(Output {
            function_name: params.function_name.clone(),
            function_arn: FunctionArn::new(arn),
            version: reply.version().unwrap_or_default().to_owned(),
            code_sha256: reply.code_sha256().unwrap_or_default().to_owned(),
        })
    }

    async fn settle(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let name = out.function_name.as_str();
        named::ours_there::<There>(cx, name).await?;
        named::wait_until::<There, _>(cx, name, "active", POLL, |there| {
            let now = &there.now;
            let failed = |why: Option<&str>| {
                let why = why.unwrap_or("Lambda does not say why");
                Err(OpError::permanent(format!("Lambda function `{name}` could not be made: {why}")))
            };
            match (now.state(), now.last_update_status()) {
                (Some(State::Failed), _) => failed(now.state_reason()),
                (_, Some(LastUpdateStatus::Failed)) => failed(now.last_update_status_reason()),
                (Some(State::Active), None | Some(LastUpdateStatus::Successful)) => Ok(Some(output(now))),
                _ => Ok(None),
            }
        })
        .await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, params.function_name.as_str(), |there| output(&there.now)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.function_name.as_str();
        if named::ours::<There>(cx, name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_function().function_name(name).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("lambda:DeleteFunction", name), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<There>(cx, name, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.function_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        let There { now, tags } = &there;
        let state = now.state().map_or("unknown", State::as_str);
        let mut verdict = named::verdict(cx, &there, &params.tags)
            .compare("state", "Active", state)
            .compare("runtime", params.runtime.as_str(), now.runtime().map(Runtime::as_str))
            .compare("role", params.role.as_str(), now.role())
            .compare("handler", params.handler.as_str(), now.handler())
            .compare("environment", json!(params.environment), environment(now));
        if let Some(wanted) = params.digest() {
            verdict = verdict.compare("code_sha256", wanted, now.code_sha256());
        }
        if let Some(wanted) = &params.description {
            verdict = verdict.compare("description", wanted.as_str(), now.description());
        }
        if let Some(wanted) = params.timeout {
            verdict = verdict.compare("timeout", wanted, now.timeout());
        }
        if let Some(wanted) = params.memory_size {
            verdict = verdict.compare("memory_size", wanted, now.memory_size());
        }
        verdict.observed = json!({
            "function_name": name, "function_arn": now.function_arn(), "state": state, "version": now.version(),
            "runtime": now.runtime().map(Runtime::as_str), "role": now.role(), "handler": now.handler(),
            "description": now.description(), "environment": environment(now), "timeout": now.timeout(),
            "memory_size": now.memory_size(), "code_sha256": now.code_sha256(), "tags": tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params(more: Value) -> Params {
        let mut all = json!({
            "function_name": "app", "runtime": "python3.13", "role": "arn:aws:iam::123456789012:role/app",
            "handler": "app.handler", "files": {"app.py": "def handler(event, context):\n    pass\n"},
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    macro_rules! there {
        ($fields:literal) => {
            Answer::Reply(
                200,
                concat!(
                    r#"{"Configuration":{"FunctionName":"app","FunctionArn":"arn:a","Version":"$LATEST","#,
                    $fields,
                    r#"},"Tags":{"switchback:run":"00000000-0000-0000-0000-000000000007","#,
                    r#""switchback:step":"function","switchback:generation":"1"}}"#
                ),
            )
        };
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |more: Value| {
            let errors = Function.check(&params(more)).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"function_name": "a b"})), ["function_name"]);
        assert_eq!(wrong(json!({"files": {}})), ["code"]);
        assert_eq!(wrong(json!({"code": {"s3_bucket": "b", "s3_key": "k"}})), ["code"]);
        assert_eq!(wrong(json!({"timeout": 0, "memory_size": 64})), ["timeout", "memory_size"]);
        assert_eq!(wrong(json!({"environment": {"AWS_REGION": "x"}})), ["environment"]);
        assert_eq!(wrong(json!({"environment": {"A1": "x".repeat(5000)}})), ["environment"]);
        assert_eq!(wrong(json!({"role": "app"})), ["role"]);
    }

    #[test]
    fn runtimes_that_have_ended_are_refused() {
        for (runtime, ended) in [
            ("python3.9", true),
            ("python3.10", false),
            ("python3.13", false),
            ("nodejs18.x", true),
            ("nodejs22.x", false),
            ("java8", true),
            ("java8.al2", false),
            ("provided.al2023", false),
        ] {
            assert_eq!(is_ended(runtime), ended, "{runtime}");
        }
    }

    #[test]
    fn the_code_is_known_by_its_digest() {
        let of = |code: &str| params(json!({"files": {"app.py": code}})).digest();
        assert!(of("a").is_some() && of("a") == of("a") && of("a") != of("b"));
        assert_eq!(Function::example().unwrap().digest(), Function::example().unwrap().code.unwrap().sha256);
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_was_made_just_now_is_waited_for() {
        let unseen = Answer::Reply(
            400,
            r#"{"__type":"InvalidParameterValueException","message":"The role defined for the function cannot be assumed by Lambda."}"#,
        );
        let wrong = Answer::Reply(400, r#"{"__type":"InvalidParameterValueException","message":"Unzipped size"}"#);
        let taken =
            Answer::Reply(409, r#"{"__type":"ResourceConflictException","message":"Function already exist: app"}"#);
        let cx = watched("function", Script::new([unseen, wrong, taken]).config()).await.0;
        for class in [ErrorClass::Busy, ErrorClass::Permanent, ErrorClass::AlreadyExists] {
            assert_eq!(Function.create(&cx, &params(json!({})), &Absent {}).await.unwrap_err().class, class);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn settling_waits_until_it_is_active_and_sees_its_failure() {
        let script = Script::new([
            there!(r#""State":"Pending""#),
            there!(r#""State":"Pending""#),
            there!(r#""State":"Active","LastUpdateStatus":"Successful""#),
            there!(r#""State":"Active""#),
            there!(r#""State":"Failed","StateReason":"no more memory""#),
        ]);
        let cx = watched("function", script.config()).await.0;
        let out = Output {
            function_name: FunctionName::new("app"),
            function_arn: FunctionArn::new("arn:a"),
            version: "$LATEST".to_owned(),
            code_sha256: String::new(),
        };
        assert_eq!(Function.settle(&cx, &params(json!({})), &Absent {}, &out).await.unwrap(), out);
        let error = Function.settle(&cx, &params(json!({})), &Absent {}, &out).await.unwrap_err();
        assert!(error.message.contains("no more memory"), "{error}");
    }
}
