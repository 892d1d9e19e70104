//! A `switchback` with an operation of one's own, which takes a secret: `example.account` keeps an
//! account in a file beside the runbook. The tests of the command run it too.
//!
//! ```console
//! $ cargo run -p switchback-cli --example own_operation -- validate accounts.yaml
//! ```

use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use switchback_engine::registry::DuplicateKind;
use switchback_engine::{Cx, Expect, Found, Operation, Registry, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult, SecretRef};

fn main() -> ExitCode {
    switchback_cli::run(&[register, switchback_probe::register])
}

fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.register(Account)
}

/// Keeps an account in a file.
struct Account;

/// The parameters of `example.account`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// The file that is written.
    file: String,
    /// The password. What is stored is where it came from and its fingerprint.
    password: SecretRef,
    /// Waits until this file is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// There was no such file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {}

/// The account that was made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Output {
    /// Its file.
    file: String,
}

fn failed(file: &str, e: &io::Error) -> OpError {
    OpError::permanent(format!("`{file}`: {e}"))
}

/// Who owns what is in the file.
fn owner(file: &str) -> OpResult<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.lines().next().unwrap_or_default().to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(file, &e)),
    }
}

fn mark(cx: &Cx) -> String {
    format!("{}/{}/{}", cx.run(), cx.step(), cx.generation())
}

impl Operation for Account {
    const KIND: &'static str = "example.account";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, _: &Params) -> Facts {
        Facts {
            creates: vec!["file:Write".into()],
            rolls_back: vec!["file:Remove".into()],
            quiet: Duration::ZERO,
            ..Facts::without_effect()
        }
    }

    async fn capture(&self, _: &Cx, p: &Params) -> OpResult<Before> {
        match owner(&p.file)? {
            None => Ok(Before {}),
            Some(_) => Err(OpError::foreign(format!("`{}` is there already", p.file))),
        }
    }

    async fn create(&self, cx: &Cx, p: &Params, _: &Before) -> OpResult<Output> {
        // The value goes into the call that needs it and nowhere else; here, that is its length.
        let length = cx.secret(&p.password)?.expose_secret().len();
        if let Some(until) = &p.until {
            let there = || async { Ok(fs::exists(until).unwrap_or(false).then_some(())) };
            cx.wait_for("waiting for a file", Duration::from_millis(10), there).await?;
        }
        cx.check_fence()?;
        fs::write(&p.file, format!("{}\n{length}\n", mark(cx))).map_err(|e| failed(&p.file, &e))?;
        Ok(Output { file: p.file.clone() })
    }

    async fn find(&self, cx: &Cx, p: &Params, _: &Before) -> OpResult<Found<Output>> {
        Ok(match owner(&p.file)? {
            None => Found::Absent,
            Some(owner) if owner == mark(cx) => {
                Found::Ours { output: Output { file: p.file.clone() }, proof: Proof::Strong }
            }
            Some(_) => Found::Foreign { what: format!("`{}`", p.file) },
        })
    }

    async fn rollback(&self, cx: &Cx, p: &Params, _: &Before, _: &Output) -> OpResult<Undo> {
        if owner(&p.file)? != Some(mark(cx)) {
            return Ok(Undo::Nothing);
        }
        cx.check_fence()?;
        fs::remove_file(&p.file).map_err(|e| failed(&p.file, &e))?;
        Ok(Undo::Done)
    }

    async fn verify(&self, cx: &Cx, p: &Params, _: &Before, _: Option<&Output>, want: Expect) -> OpResult<Verdict> {
        let ours = owner(&p.file)? == Some(mark(cx));
        Ok(Verdict::new().compare("the account is there", want == Expect::Created, ours))
    }
}
