//! Secrets in the lab: what is stored of one, and which process needs its value.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use switchback_engine::cx::Contexts;
use switchback_engine::history::{Ended, History};
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::Provider;
use switchback_engine::secrets::{Given, Secrets, ahead};
use switchback_engine::{Cx, Expect, Found, Operation, Registry, Undo, Verdict};
use switchback_model::event::Outcome;
use switchback_model::facts::Facts;
use switchback_model::plan::{OnFailure, Plan, SecretInput, Template};
use switchback_model::record::{Endpoint, Proof, RunSecrets, UnwindTarget};
use switchback_model::status::State;
use switchback_model::{OpError, OpResult, SecretRef, StepId};
use switchback_testing::journal::Disk;
use switchback_testing::lab::{self, Command, End, StepSpec, lab_run, on_paused_time};
use switchback_testing::rig::{Rig, Stage};

const VALUE: &str = "correct horse";

/// The doors that are locked, each with the code that it was locked with.
#[derive(Clone, Default)]
struct Doors(Arc<Mutex<BTreeMap<StepId, String>>>);

impl Doors {
    fn locked(&self) -> BTreeMap<StepId, String> {
        self.0.lock().unwrap().clone()
    }
}

/// Locks a door with a code, and opens it again without one.
struct Lock;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// The code.
    code: SecretRef,
    /// It cannot be locked, and says too much.
    #[serde(default)]
    jams: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Nothing {}

impl Operation for Lock {
    const KIND: &'static str = "test.lock";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = Params;
    type Before = Nothing;
    type Output = Nothing;

    fn facts(&self, _: &Params) -> Facts {
        Facts { creates: vec!["door:Lock".into()], ..Facts::without_effect() }
    }

    async fn capture(&self, _: &Cx, _: &Params) -> OpResult<Nothing> {
        Ok(Nothing {})
    }

    async fn create(&self, cx: &Cx, p: &Params, _: &Nothing) -> OpResult<Nothing> {
        let code = cx.secret(&p.code)?.expose_secret().to_owned();
        if p.jams {
            return Err(OpError::permanent(format!("`{code}` jams")).with_hint(format!("not {code}")));
        }
        cx.get::<Doors>()?.0.lock().unwrap().insert(cx.step().clone(), code);
        Ok(Nothing {})
    }

    async fn find(&self, cx: &Cx, _: &Params, _: &Nothing) -> OpResult<Found<Nothing>> {
        let there = cx.get::<Doors>()?.locked().contains_key(cx.step());
        Ok(if there { Found::Ours { output: Nothing {}, proof: Proof::Strong } } else { Found::Absent })
    }

    async fn rollback(&self, cx: &Cx, _: &Params, _: &Nothing, _: &Nothing) -> OpResult<Undo> {
        cx.get::<Doors>()?.0.lock().unwrap().remove(cx.step());
        Ok(Undo::Done)
    }

    async fn verify(&self, cx: &Cx, _: &Params, _: &Nothing, _: Option<&Nothing>, want: Expect) -> OpResult<Verdict> {
        let locked = cx.get::<Doors>()?.locked().contains_key(cx.step());
        Ok(Verdict::new().compare("locked", want == Expect::Created, locked))
    }
}

struct House {
    doors: Doors,
    secrets: Secrets,
}

impl Stage for House {
    fn contexts(&self) -> Contexts {
        Contexts::new().with(self.doors.clone())
    }

    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        Vec::new()
    }

    fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    fn renew_credentials(&self) {}

    fn has_ours<'a>(&'a self, step: &'a StepId) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.doors.locked().contains_key(step) })
    }

    fn crashed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn given(value: &str) -> BTreeMap<String, Given> {
    [("code".to_owned(), Given { value: value.into(), source: "prompt".into(), version: None })].into()
}

/// Two doors, `b` after `a`.
fn plan(jams: bool) -> Arc<Plan> {
    let mut plan = Plan::clone(&lab::plan(
        &[StepSpec::new("a", "lock"), StepSpec::new("b", "lock").uses(&["a"])],
        OnFailure::Pause,
    ));
    plan.secrets = [("code".to_owned(), SecretInput::default())].into();
    for step in &mut plan.steps {
        let jams = Template::Lit((jams && step.id.as_str() == "b").into());
        let params = [("code".to_owned(), Template::Secret("code".into())), ("jams".to_owned(), jams)];
        step.params = Template::Map(params.into());
    }
    Arc::new(plan)
}

/// A run of that plan, and what is on record of its secret.
fn house(jams: bool) -> (Rig, Doors, RunSecrets) {
    let (recorded, secrets) = Secrets::begin([7; 16], given(VALUE)).unwrap();
    let mut registry = Registry::new();
    registry.register(Lock).unwrap();
    let doors = Doors::default();
    let rig = Rig {
        plan: plan(jams),
        disk: Disk::with_secrets(lab_run(), Endpoint::default(), Some(recorded.clone())),
        registry: Arc::new(registry),
        stage: Arc::new(House { doors: doors.clone(), secrets }),
        to: None,
    };
    (rig, doors, recorded)
}

/// The next process, with these secrets.
fn with(rig: &Rig, doors: &Doors, secrets: Secrets, to: Option<&str>) -> Rig {
    let stage = Arc::new(House { doors: doors.clone(), secrets });
    Rig { stage, to: to.map(StepId::new), ..rig.clone() }
}

/// All that is stored, as text.
fn stored(rig: &Rig) -> String {
    let plan = serde_json::to_string(&*rig.plan).unwrap();
    rig.disk.records().iter().map(|r| r.body().payload().unwrap()).fold(plan, |all, one| all + "\n" + &one)
}

fn state(history: &History, step: &str) -> State {
    history.status(history.index_of(&StepId::new(step)).unwrap()).state
}

#[test]
fn the_value_is_used_and_its_fingerprint_is_stored() {
    on_paused_time(async {
        let (rig, doors, recorded) = house(false);
        rig.execute(&Command::Apply, None).await;
        assert_eq!(rig.history().ended(), Ended::Completed);
        assert_eq!(doors.locked().values().collect::<Vec<_>>(), [VALUE, VALUE]);
        let stored = stored(&rig);
        assert!(!stored.contains(VALUE), "{stored}");
        let intents = stored.matches(&format!("\"fingerprint\":\"{}\"", recorded.inputs["code"].fingerprint)).count();
        assert_eq!(intents, 3, "in the first record and in the intent of each step: {stored}");
        assert_eq!(ahead(&rig.history()), BTreeMap::new(), "nothing is ahead of a run that is done");
    });
}

#[test]
fn a_process_without_the_value_pauses_and_one_with_another_is_refused() {
    on_paused_time(async {
        let (rig, doors, recorded) = house(false);
        let first = Rig { to: Some(StepId::new("a")), ..rig.clone() };
        first.execute(&Command::Apply, None).await;
        assert_eq!(ahead(&rig.history()), recorded.inputs, "`b` is ahead");
        assert!(Secrets::go_on(&recorded, given("another")).is_err());
        let without = with(&rig, &doors, Secrets::none(), None);
        let End::Outcome(Outcome::Paused { why, .. }) = without.execute(&Command::Resume, None).await else {
            panic!("not paused");
        };
        assert!(why.contains("the secret from prompt is not at hand"), "{why}");
        assert_eq!(doors.locked().len(), 1, "`b` was not locked with anything");
        let again = with(&rig, &doors, Secrets::go_on(&recorded, given(VALUE)).unwrap(), None);
        again.execute(&Command::Resume, None).await;
        assert_eq!(rig.history().ended(), Ended::Completed);
        assert_eq!(doors.locked().len(), 2);
    });
}

#[test]
fn the_way_back_needs_no_value() {
    on_paused_time(async {
        let (rig, doors, recorded) = house(false);
        rig.execute(&Command::Apply, None).await;
        let without = with(&rig, &doors, Secrets::none(), None);
        without.execute(&Command::Unwind(UnwindTarget::To("a".into())), None).await;
        assert_eq!(state(&rig.history(), "b"), State::Undone);
        assert_eq!(ahead(&rig.history()), recorded.inputs, "forward again, `b` is made anew");
        without.execute(&Command::Unwind(UnwindTarget::All), None).await;
        assert_eq!(rig.history().ended(), Ended::Unwound);
        assert_eq!(doors.locked(), BTreeMap::new());
    });
}

#[test]
fn an_error_that_says_the_value_is_stored_without_it() {
    on_paused_time(async {
        let (rig, ..) = house(true);
        let End::Outcome(Outcome::Paused { why, .. }) = rig.execute(&Command::Apply, None).await else {
            panic!("not paused");
        };
        assert_eq!(why, "`(secret)` jams; not (secret)");
        assert!(!stored(&rig).contains(VALUE));
    });
}
