//! The value of a secret input out of Secrets Manager. No step makes this call: a run makes it for
//! itself, before its first step.

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use switchback_engine::provider::CallLog;
use switchback_model::plan::ManagedSecret;
use switchback_model::{OpError, OpResult};

use crate::context::AwsContext;
use crate::errors::{Call, op_error};

/// A secret as Secrets Manager has it.
#[derive(Debug)]
pub struct Managed {
    /// The secret's ARN.
    pub arn: String,
    /// The version that was read.
    pub version: Option<String>,
    /// The value.
    pub value: SecretString,
}

/// Reads it (`GetSecretValue`). `version`: that one, by its id, instead of the one with the staging
/// label: a run that goes on takes the value that it began with, also when it was rotated since.
///
/// # Errors
/// When it cannot be read, holds no text, or lacks the key. No error holds a part of the value.
pub async fn read(
    context: &AwsContext,
    calls: CallLog,
    secret: &ManagedSecret,
    version: Option<&str>,
) -> OpResult<Managed> {
    let id = &secret.secret_id;
    let mut call = context.secretsmanager_of_no_step(calls).get_secret_value().secret_id(id);
    call = match version {
        Some(version) => call.version_id(version),
        None => call.set_version_stage(secret.version_stage.clone()),
    };
    let reply = call
        .send()
        .await
        .map_err(|e| op_error(Call::new("secretsmanager:GetSecretValue", &format!("secret {id}")), e))?;
    let (arn, found) = (reply.arn().unwrap_or(id).to_owned(), reply.version_id().map(str::to_owned));
    let Some(text) = reply.secret_string.map(Zeroizing::new) else {
        return Err(OpError::permanent(format!("secret {id} holds bytes and no text"))
            .with_hint("store it as a text (`SecretString`)"));
    };
    let value = match &secret.json_key {
        None => SecretString::from(text.as_str()),
        Some(key) => member(&text, key).ok_or_else(|| {
            OpError::permanent(format!("secret {id} is not a JSON object with a text under `{key}`"))
                .with_hint("name a key that it has, or leave `json_key` out")
        })?,
    };
    Ok(Managed { arn, version: found, value })
}

fn member(text: &str, key: &str) -> Option<SecretString> {
    match serde_json::from_str::<Value>(text).ok()?.get_mut(key)?.take() {
        Value::String(value) => Some(SecretString::from(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use switchback_engine::provider::no_log;
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script};

    const PLAIN: &str = r#"{"ARN":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf","VersionId":"v-1",
        "SecretString":"{\"password\":\"correct horse\",\"port\":5432}"}"#;

    async fn reads(answer: Answer, json_key: Option<&str>, version: Option<&str>) -> (OpResult<Managed>, String) {
        let script = Script::new([answer]);
        let context = AwsContext::new(script.config()).await;
        let secret = ManagedSecret {
            secret_id: "db".into(),
            json_key: json_key.map(str::to_owned),
            version_stage: Some("AWSPREVIOUS".into()),
        };
        let read = read(&context, no_log(), &secret, version).await;
        let body = script.bodies.lock().unwrap().join("\n");
        (read, body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_of_it_with_its_version() {
        let (read, body) = reads(Answer::Reply(200, PLAIN), Some("password"), None).await;
        let managed = read.unwrap();
        assert_eq!(managed.value.expose_secret(), "correct horse");
        assert_eq!(managed.version.as_deref(), Some("v-1"));
        assert!(managed.arn.ends_with(":secret:db-AbCdEf"));
        assert!(!format!("{managed:?}").contains("horse"));
        assert!(body.contains("AWSPREVIOUS") && !body.contains("VersionId"), "{body}");
        let (_, body) = reads(Answer::Reply(200, PLAIN), None, Some("v-1")).await;
        assert!(body.contains(r#""VersionId":"v-1""#) && !body.contains("AWSPREVIOUS"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_holds_nothing_of_the_value() {
        for key in ["port", "user"] {
            let error = reads(Answer::Reply(200, PLAIN), Some(key), None).await.0.unwrap_err();
            let text = format!("{error:?}");
            assert!(text.contains(key) && !text.contains("horse") && !text.contains("5432"), "{text}");
        }
        let bytes = r#"{"ARN":"a","SecretBinary":"AAEC"}"#;
        let error = reads(Answer::Reply(200, bytes), None, None).await.0.unwrap_err();
        assert_eq!(error.message, "secret db holds bytes and no text");
        let denied = Answer::Reply(400, r#"{"__type":"AccessDeniedException","Message":"no"}"#);
        let error = reads(denied, None, None).await.0.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.hint.unwrap().contains("secretsmanager:GetSecretValue"));
    }
}
