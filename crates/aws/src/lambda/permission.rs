//! `aws.lambda.permission`: who may invoke a function.
//!
//! A permission is a statement in the policy of the function, and has no tags. So `capture` keeps whether it was there
//! before. Where this run made the function, nobody else has a reason to put the same statement and the proof is strong;
//! else it is weak. A statement of that id that says something else is another's, and stays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::{There, arn, check_name, client};
use crate::calls::Calls;
use crate::document::Document;
use crate::errors::{Call, found, op_error};
use crate::ids::FunctionName;
use crate::named::{self, Named, POLL};
use crate::tags;

/// A permission to invoke a Lambda function.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The function (`AddPermission` FunctionName).
    pub function_name: FunctionName,
    /// The id of the statement in the function's policy: 1 to 100 letters, digits, `-` and `_` (`AddPermission`
    /// StatementId).
    pub statement_id: String,
    /// What is permitted: `lambda:InvokeFunction` (`AddPermission` Action).
    pub action: String,
    /// To whom: a service such as `sns.amazonaws.com`, an account, or the ARN of a role (`AddPermission` Principal).
    pub principal: String,
    /// On behalf of what: an ARN, in which stars stand for anything (`AddPermission` SourceArn).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<String>,
    /// On behalf of whom: the account that owns what `source_arn` names (`AddPermission` SourceAccount).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_account: Option<String>,
}

/// What was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Whether the function had this permission, in just these words.
    pub granted: bool,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The function.
    pub function_name: FunctionName,
    /// The id of the statement.
    pub statement_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Permission;

/// What a function's policy says under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// What the parameters say.
    This,
    SomethingElse,
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit())
}

impl Params {
    fn about(&self) -> String {
        format!("permission `{}` of Lambda function `{}`", self.statement_id, self.function_name)
    }

    fn output(&self) -> Output {
        Output { function_name: self.function_name.clone(), statement_id: self.statement_id.clone() }
    }

    /// The statement as Lambda writes it, but for the function's ARN.
    fn statement(&self) -> Value {
        let principal = match self.principal.as_str() {
            "*" => json!("*"),
            account if is_account(account) => json!({"AWS": format!("arn:aws:iam::{account}:root")}),
            arn if arn.starts_with("arn:") => json!({"AWS": arn}),
            service => json!({"Service": service}),
        };
        let mut it =
            json!({"Sid": self.statement_id, "Effect": "Allow", "Principal": principal, "Action": self.action});
        let mut condition = Map::new();
        if let Some(account) = &self.source_account {
            condition.insert("StringEquals".to_owned(), json!({"AWS:SourceAccount": account}));
        }
        if let Some(arn) = &self.source_arn {
            condition.insert("ArnLike".to_owned(), json!({"AWS:SourceArn": arn}));
        }
        if !condition.is_empty() {
            it["Condition"] = Value::Object(condition);
        }
        it
    }

    /// What that policy says under the id of the statement.
    fn said(&self, policy: &str) -> Said {
        let policy: Value = serde_json::from_str(policy).unwrap_or_default();
        let id = json!(self.statement_id);
        let mut statements = policy.get("Statement").and_then(Value::as_array).into_iter().flatten();
        let Some(mut there) = statements.find(|it| it.get("Sid") == Some(&id)).cloned() else {
            return Said::Nothing;
        };
        if let Some(map) = there.as_object_mut() {
            map.remove("Resource");
        }
        let normal = |statement: Value| Document::new(json!({"Statement": [statement]})).normal();
        if normal(there) == normal(self.statement()) { Said::This } else { Said::SomethingElse }
    }
}

/// What is said now, and the revision of the policy that says it. A function that is not there says nothing.
async fn look(cx: &Cx, params: &Params) -> OpResult<(Said, Option<String>)> {
    let about = params.about();
    let sent = client(cx)?.get_policy().function_name(params.function_name.as_str()).send().await;
    let reply = found(sent.map_err(|e| op_error(Call::new("lambda:GetPolicy", &about), e)))?;
    Ok(match reply {
        Some(reply) => (params.said(reply.policy().unwrap_or_default()), reply.revision_id),
        None => (Said::Nothing, None),
    })
}

impl Operation for Permission {
    const KIND: &'static str = "aws.lambda.permission";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the statement as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["lambda:GetFunction", "lambda:GetPolicy"],
            creates: "lambda:AddPermission",
            settles: Vec::new(),
            rolls_back: vec!["lambda:RemovePermission"],
            besides: &[],
        };
        Facts { proof: ProofKind::ByFind, unique: true, arns: vec![arn(&params.function_name)], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            function_name: FunctionName::new("app-rollback"),
            statement_id: "alerts".to_owned(),
            action: "lambda:InvokeFunction".to_owned(),
            principal: "sns.amazonaws.com".to_owned(),
            source_arn: Some("arn:aws:sns:us-east-1:123456789012:app-alerts".to_owned()),
            source_account: Some("123456789012".to_owned()),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(&params.function_name, &mut errors);
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let id = &params.statement_id;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=100).contains(&id.len()) || !id.chars().all(fits) {
            wrong("statement_id", format!("{id:?} is not 1 to 100 letters, digits, - and _"));
        }
        if !params.action.starts_with("lambda:") {
            wrong("action", format!("{:?} is not an action of Lambda such as `lambda:InvokeFunction`", params.action));
        }
        let to = &params.principal;
        let is_service = to.contains('.') && !to.contains(char::is_whitespace);
        if !(to == "*" || is_account(to) || to.starts_with("arn:") || is_service) {
            wrong("principal", format!("{to:?} is not a service such as `sns.amazonaws.com`, an account or an ARN"));
        }
        if to == "*" && params.source_arn.is_none() && params.source_account.is_none() {
            wrong("principal", "everybody could invoke it: say on behalf of what, in `source_arn`".to_owned());
        }
        if params.source_arn.as_ref().is_some_and(|arn| !arn.starts_with("arn:")) {
            wrong("source_arn", "is not an ARN".to_owned());
        }
        if params.source_account.as_ref().is_some_and(|account| !is_account(account)) {
            wrong("source_account", "is not an account of twelve digits".to_owned());
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        named::existing::<There>(cx, params.function_name.as_str()).await?;
        match look(cx, params).await?.0 {
            Said::Nothing => Ok(Before { granted: false }),
            Said::This => Ok(Before { granted: true }),
            Said::SomethingElse => {
                Err(OpError::foreign(format!("{} is there already and says something else", params.about()))
                    .with_hint("give the statement another id"))
            }
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let about = params.about();
        match (before.granted, look(cx, params).await?.0) {
            (true, Said::This) => return Ok(params.output()),
            (true, _) => {
                return Err(OpError::drift(format!("{about} was there and was changed since it was looked at")));
            }
            (false, Said::Nothing) => {}
            (false, _) => return Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} is there by now"))),
        }
        client(cx)?
            .add_permission()
            .function_name(params.function_name.as_str())
            .statement_id(&params.statement_id)
            .action(&params.action)
            .principal(&params.principal)
            .set_source_arn(params.source_arn.clone())
            .set_source_account(params.source_account.clone())
            .send()
            .await
            .map_err(|e| op_error(Call::new("lambda:AddPermission", &about).just_made(), e))?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        match look(cx, params).await?.0 {
            Said::Nothing => return Ok(Found::Absent),
            Said::SomethingElse => {
                return Ok(Found::Foreign { what: format!("{}, which says something else", params.about()) });
            }
            Said::This => {}
        }
        // What was there before is not this run's, and `rollback` leaves it: there is nothing to prove.
        let function = There::read(cx, params.function_name.as_str()).await?;
        let of_run = function.is_some_and(|function| tags::are_of_run(cx, function.tags()));
        let proof = if before.granted || of_run { Proof::Strong } else { Proof::Weak };
        Ok(Found::Ours { output: params.output(), proof })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let about = params.about();
        let (said, revision) = look(cx, params).await?;
        match (before.granted, said) {
            (true, Said::This) | (false, Said::Nothing) => return Ok(Undo::Nothing),
            (true, _) => return Err(OpError::drift(format!("{about} was there before this run and was changed"))),
            (false, Said::SomethingElse) => {
                return Err(OpError::drift(format!("{about} no longer says what this step made it say")));
            }
            (false, Said::This) => {}
        }
        let removed = client(cx)?
            .remove_permission()
            .function_name(params.function_name.as_str())
            .statement_id(&params.statement_id)
            // Nobody changed it since the look. Another permission may have been: then this one is tried again.
            .set_revision_id(revision)
            .send()
            .await;
        if found(removed.map_err(|e| op_error(Call::new("lambda:RemovePermission", &about), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        let gone = || async { Ok((look(cx, params).await?.0 != Said::This).then_some(())) };
        cx.wait_for(&format!("waiting until {about} is gone"), POLL, gone).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let there = look(cx, params).await?.0 == Said::This;
        let wanted = want == Expect::Created || before.granted;
        let mut verdict = Verdict::new().compare(format!("{} is as asked for", params.about()), wanted, there);
        verdict.observed = json!({
            "function_name": params.function_name, "statement_id": params.statement_id, "granted": there,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    const NONE: Answer = Answer::Reply(404, r#"{"__type":"ResourceNotFoundException","message":"no"}"#);
    const DONE: Answer = Answer::Reply(204, "");

    fn params() -> Params {
        Permission::example().unwrap()
    }

    fn policy(condition: Value) -> String {
        json!({"Version": "2012-10-17", "Id": "default", "Statement": [{
            "Sid": "alerts", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:app-rollback",
            "Condition": condition,
        }]})
        .to_string()
    }

    fn granted() -> Value {
        json!({
            "ArnLike": {"AWS:SourceArn": "arn:aws:sns:us-east-1:123456789012:app-alerts"},
            "StringEquals": {"AWS:SourceAccount": "123456789012"},
        })
    }

    fn reply(condition: Value) -> Answer {
        Answer::Reply(200, json!({"Policy": policy(condition), "RevisionId": "r1"}).to_string().leak())
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |params: Params| {
            let errors = Permission.check(&params).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        assert!(wrong(params()).is_empty());
        assert_eq!(wrong(Params { statement_id: "a b".into(), ..params() }), ["statement_id"]);
        assert_eq!(wrong(Params { action: "sns:Publish".into(), ..params() }), ["action"]);
        assert_eq!(wrong(Params { principal: "me".into(), ..params() }), ["principal"]);
        let everybody = Params { principal: "*".into(), source_arn: None, source_account: None, ..params() };
        assert_eq!(wrong(everybody), ["principal"]);
        assert_eq!(wrong(Params { source_account: Some("1".into()), ..params() }), ["source_account"]);
    }

    #[test]
    fn a_statement_is_compared_as_a_policy() {
        assert_eq!(params().said(&policy(granted())), Said::This);
        assert_eq!(params().said(&policy(json!({}))), Said::SomethingElse);
        assert_eq!(params().said("{}"), Said::Nothing);
        let of_account = Params { principal: "123456789012".into(), ..params() };
        assert_eq!(of_account.statement()["Principal"]["AWS"], "arn:aws:iam::123456789012:root");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_before_is_left_alone() {
        let script = Script::new([reply(granted()), reply(granted()), NONE]);
        let (cx, watch) = watched("permission", script.config()).await;
        let before = Before { granted: true };
        let out = Permission.create(&cx, &params(), &before).await.unwrap();
        assert_eq!(Permission.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Nothing);
        let error = Permission.rollback(&cx, &params(), &before, &out).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "GetPolicy"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_taken_away_only_while_it_says_the_same() {
        let script = Script::new([reply(json!({})), reply(granted()), DONE, NONE]);
        let cx = watched("permission", script.config()).await.0;
        let (before, out) = (Before { granted: false }, params().output());
        assert_eq!(Permission.rollback(&cx, &params(), &before, &out).await.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(Permission.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Done);
        assert_eq!(script.requests(), 4);
    }
}
