//! `aws.kms.alias`: a name for a key.
//!
//! An alias has no tags. Its name is unique in the account and region, so a second create is impossible
//! and a name that is taken is found before the first one. Where this run made the key, nobody else has
//! a reason to give it the same name and the proof is strong; else it is weak: not there before, and it
//! points at this key now. An alias that was pointed elsewhere since is not deleted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::client;
use super::resource::{Key, target_of};
use crate::calls::{Absent, Calls};
use crate::errors::{Call, found, op_error};
use crate::ids::{KmsAliasName, KmsKeyId};
use crate::named::{self, Named, POLL};
use crate::tags;

/// What every alias begins with.
const PREFIX: &str = "alias/";

/// A name of a KMS key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, `alias/app`: up to 256 letters, digits and `/_-`, not `alias/aws/...` (`CreateAlias`
    /// AliasName).
    pub alias_name: String,
    /// The key's id, not its ARN (`CreateAlias` TargetKeyId).
    pub target_key_id: KmsKeyId,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub alias_name: KmsAliasName,
    /// The key that it points at.
    pub target_key_id: KmsKeyId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alias;

impl Params {
    fn about(&self) -> String {
        format!("`{}` for KMS key {}", self.alias_name, self.target_key_id)
    }

    fn output(&self) -> Output {
        Output { alias_name: KmsAliasName::new(&self.alias_name), target_key_id: self.target_key_id.clone() }
    }
}

impl Operation for Alias {
    const KIND: &'static str = "aws.kms.alias";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees the alias as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["kms:ListAliases", "kms:DescribeKey", "kms:ListResourceTags"],
            creates: "kms:CreateAlias",
            settles: Vec::new(),
            rolls_back: vec!["kms:DeleteAlias"],
            besides: &[],
        };
        let arn = |what: &str| format!("arn:{{partition}}:kms:{{region}}:{{account}}:{what}");
        // KMS wants both calls allowed on the alias and on its key.
        let arns = vec![arn(&params.alias_name), arn(&format!("key/{}", params.target_key_id))];
        Facts { proof: ProofKind::ByFind, unique: true, arns, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            alias_name: "alias/app".to_owned(),
            target_key_id: KmsKeyId::new("1234abcd-12ab-34cd-56ef-1234567890ab"),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let name = params.alias_name.strip_prefix(PREFIX).unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
        if name.is_empty() || params.alias_name.len() > 256 || !name.chars().all(fits) {
            let message = format!(
                "{:?} is not a name such as `alias/app`, of up to 256 letters, digits and / _ -",
                params.alias_name
            );
            errors.push(ParamError::new("alias_name", message));
        } else if name.starts_with("aws/") {
            errors.push(ParamError::new("alias_name", "names that begin with `alias/aws/` are AWS's own"));
        }
        let key = params.target_key_id.as_str();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            errors.push(ParamError::new("target_key_id", format!("{key:?} is not the id of a key")));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::existing::<Key>(cx, params.target_key_id.as_str()).await?;
        match target_of(cx, &params.alias_name).await? {
            None => Ok(Absent {}),
            Some(key) => Err(OpError::foreign(format!("`{}` is there already, for {key}", params.alias_name))
                .with_hint("leave the step out, or give it another name")),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        client(cx)?
            .create_alias()
            .alias_name(&params.alias_name)
            .target_key_id(params.target_key_id.as_str())
            .send()
            .await
            .map_err(|e| op_error(Call::new("kms:CreateAlias", &about).just_made(), e))?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let id = params.target_key_id.as_str();
        Ok(match target_of(cx, &params.alias_name).await? {
            None => Found::Absent,
            Some(key) if key == id => {
                let ours = Key::read(cx, id).await?.is_some_and(|key| tags::are_of_run(cx, key.tags()));
                Found::Ours { output: params.output(), proof: if ours { Proof::Strong } else { Proof::Weak } }
            }
            Some(key) => Found::Foreign { what: format!("`{}` for {key}", params.alias_name) },
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = out.alias_name.as_str();
        match target_of(cx, name).await? {
            None => return Ok(Undo::Nothing),
            Some(key) if key == out.target_key_id.as_str() => {}
            Some(key) => {
                return Err(OpError::drift(format!(
                    "`{name}` pointed at KMS key {} and points at {key}: it was moved since this run made it",
                    out.target_key_id
                )));
            }
        }
        let about = params.about();
        let deleted = client(cx)?.delete_alias().alias_name(name).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("kms:DeleteAlias", &about), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        let look =
            || async { Ok((target_of(cx, name).await?.as_deref() != Some(out.target_key_id.as_str())).then_some(())) };
        cx.wait_for(&format!("waiting until `{name}` is gone"), POLL, look).await?;
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
        let there = target_of(cx, &params.alias_name).await?;
        let to_ours = there.as_deref() == Some(params.target_key_id.as_str());
        let mut verdict = match want {
            Expect::Created => {
                let what = format!("`{}` points at", params.alias_name);
                Verdict::new().compare(what, params.target_key_id.as_str(), there.as_deref())
            }
            Expect::RolledBack => Verdict::new().compare(format!("{} exists", params.about()), false, to_ours),
        };
        verdict.observed = json!({"alias_name": params.alias_name, "target_key_id": there});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, cx};

    const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    fn params() -> Params {
        Alias.check(&Alias::example().unwrap()).unwrap();
        Alias::example().unwrap()
    }

    fn aliases(all: &[(&str, &str)]) -> Answer {
        let all: Vec<_> = all.iter().map(|(name, key)| json!({"AliasName": name, "TargetKeyId": key})).collect();
        Answer::Reply(200, json!({"Aliases": all, "Truncated": false}).to_string().leak())
    }

    fn ours() -> Answer {
        aliases(&[("alias/aws/rds", "a"), ("alias/app", KEY)])
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        for (name, key, want) in [
            ("alias/app/web_1-a", "mrk-1234abcd12ab34cd56ef1234567890ab", &[][..]),
            ("app", KEY, &["alias_name"]),
            ("alias/", KEY, &["alias_name"]),
            ("alias/a b", KEY, &["alias_name"]),
            ("alias/aws/app", KEY, &["alias_name"]),
            ("alias/app", "arn:aws:kms:us-east-1:123456789012:key/x", &["target_key_id"]),
            ("alias/app", "alias/other", &["target_key_id"]),
            ("alias/app", "", &["target_key_id"]),
        ] {
            let params = Params { alias_name: name.to_owned(), target_key_id: KmsKeyId::new(key) };
            let errors = Alias.check(&params).err().unwrap_or_default();
            let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
            assert_eq!(fields, want, "{name} {key}");
        }
        let facts = Alias.facts(&params());
        assert_eq!(
            facts.arns,
            [
                "arn:{partition}:kms:{region}:{account}:alias/app",
                "arn:{partition}:kms:{region}:{account}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            ]
        );
        assert!(facts.proof == ProofKind::ByFind && facts.unique);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_it_is_follows_from_the_key() {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7)).to_string();
        let key =
            || Answer::Reply(200, json!({"KeyMetadata": {"KeyId": KEY, "KeyState": "Enabled"}}).to_string().leak());
        let tagged = |run: &str| {
            let tags = json!({"Tags": [{"TagKey": "switchback:run", "TagValue": run}], "Truncated": false});
            Answer::Reply(200, tags.to_string().leak())
        };
        let script = Script::new([
            ours(),
            key(),
            tagged(&run),
            ours(),
            key(),
            tagged("other"),
            aliases(&[("alias/app", "other")]),
            aliases(&[("alias/application", KEY)]),
        ]);
        let cx = cx("alias", script.config()).await;
        let find = async || Alias.find(&cx, &params(), &Absent {}).await.unwrap();
        let output = params().output();
        assert_eq!(find().await, Found::Ours { output: output.clone(), proof: Proof::Strong });
        assert_eq!(find().await, Found::Ours { output, proof: Proof::Weak });
        assert_eq!(find().await, Found::Foreign { what: "`alias/app` for other".to_owned() });
        assert_eq!(find().await, Found::Absent);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_deleted_only_while_it_points_at_our_key() {
        let none = aliases(&[]);
        let deleted = Answer::Reply(200, "{}");
        let script = Script::new([aliases(&[("alias/app", "other")]), ours(), deleted, ours(), none.clone(), none]);
        let cx = cx("alias", script.config()).await;
        let undo = async || Alias.rollback(&cx, &params(), &Absent {}, &params().output()).await;
        assert_eq!(undo().await.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(undo().await.unwrap(), Undo::Done);
        assert_eq!(undo().await.unwrap(), Undo::Nothing);
        assert_eq!(script.requests(), 6);
    }
}
