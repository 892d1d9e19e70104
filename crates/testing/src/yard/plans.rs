//! Plans over the yard, and what it takes to rehearse them.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;
use switchback_engine::secrets::{Given, Secrets};
use switchback_model::plan::{OnFailure, OutputRef, PLAN_FORMAT_VERSION, Plan, PlanStep, Policy, Target, Template};
use switchback_model::{RunId, StepId};
use switchback_rehearsal::world::World;
use switchback_rehearsal::{MakeWorld, Subject};
use uuid::Uuid;

use super::ops::{Bug, registry};
use super::world::Yard;

/// A step of a plan over the yard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// `shelf`.
    Shelf,
    /// `chest`, which stands on the shelf.
    Chest,
    /// `door`, with a secret; in the second phase.
    Door,
    /// `sign` at the door, which it names in `needs`; in the second phase.
    Sign,
    /// The same, which does not say that it needs the door.
    SignWithoutNeeds,
    /// `sign` that speaks of the door, so that the door cannot go before it, and does not say that it needs it.
    SignOfDoor,
    /// `dial`, which refers to nothing; in the third phase.
    Dial,
}

impl Piece {
    /// A plan of all that is right.
    pub const ALL: [Self; 5] = [Self::Shelf, Self::Chest, Self::Door, Self::Sign, Self::Dial];

    /// The step, with this at the end of the names of which there can be only one.
    fn step(self, end: &str) -> PlanStep {
        let door = format!("front{end}");
        let lit = |value: &str| Template::Lit(json!(value));
        let (id, phase, params, needs) = match self {
            Self::Shelf => ("shelf", 0, vec![("width", Template::Lit(json!(80))), ("value", lit("oak"))], None),
            Self::Chest => {
                let shelf = OutputRef { step: StepId::new("shelf"), path: vec!["arn".to_owned()] };
                ("chest", 0, vec![("on", Template::Ref(shelf)), ("value", lit("tools"))], Some("shelf"))
            }
            Self::Door => ("door", 1, vec![("code", Template::Secret("code".to_owned()))], None),
            Self::Sign => ("sign", 1, vec![("at", lit(&door)), ("value", lit("open"))], Some("door")),
            Self::SignWithoutNeeds => ("sign", 1, vec![("at", lit(&door)), ("value", lit("open"))], None),
            Self::SignOfDoor => ("sign", 1, vec![("of", lit(&door)), ("value", lit("open"))], None),
            Self::Dial => ("dial", 2, vec![("value", lit("7"))], None),
        };
        let name = match self {
            Self::Shelf | Self::Chest => "stock".to_owned(),
            Self::Door => door,
            Self::Sign | Self::SignWithoutNeeds | Self::SignOfDoor => format!("welcome{end}"),
            Self::Dial => format!("heat{end}"),
        };
        let params = params.into_iter().chain([("name", lit(&name))]).map(|(key, value)| (key.to_owned(), value));
        PlanStep {
            id: StepId::new(id),
            phase,
            op: format!("yard.{id}"),
            op_version: 1,
            params: Template::Map(params.collect()),
            provider: None,
            needs: needs.map(StepId::new).into_iter().collect(),
            timeout: None,
            attempts: None,
            on_failure: None,
            verify: Vec::new(),
            protect: false,
        }
    }
}

/// The plan of these pieces, in the phases `build`, `open` and `turn`.
#[must_use]
pub fn plan(pieces: &[Piece], on_failure: OnFailure) -> Plan {
    plan_ending(pieces, on_failure, "")
}

fn plan_ending(pieces: &[Piece], on_failure: OnFailure, end: &str) -> Plan {
    let secrets = if pieces.contains(&Piece::Door) {
        BTreeMap::from([("code".to_owned(), switchback_model::plan::SecretInput::default())])
    } else {
        BTreeMap::new()
    };
    Plan {
        format: PLAN_FORMAT_VERSION,
        runbook: "yard".to_owned(),
        version: 1,
        description: String::new(),
        target: Target::default(),
        inputs: BTreeMap::new(),
        secrets,
        policy: Policy { on_failure, max_parallel: 4, ..Policy::default() },
        phases: ["build", "open", "turn"].map(str::to_owned).to_vec(),
        steps: pieces.iter().map(|piece| piece.step(end)).collect(),
        files: BTreeMap::new(),
    }
}

/// The value of the one secret.
const CODE: &str = "Canary-code-5b0c5b0c5b0c";

/// The rehearsal of that plan in a yard where all of it is there already, made by another run. Its operations may
/// have a bug; those of the other run have none.
///
/// # Errors
/// Never but on a machine on which no fingerprint can be made.
pub fn subject(pieces: &[Piece], on_failure: OnFailure, bug: Option<Bug>) -> Result<Subject, String> {
    let run = RunId::new(Uuid::from_u128(1));
    let other = RunId::new(Uuid::from_u128(2));
    let right = Arc::new(registry(None).map_err(|e| e.to_string())?);
    let (mut stored, mut secrets, mut canaries) = (None, Secrets::none(), Vec::new());
    if pieces.contains(&Piece::Door) {
        let given = Given { value: SecretString::from(CODE), source: "the rehearsal".to_owned(), version: None };
        let (recorded, values) =
            Secrets::begin([7; 16], [("code".to_owned(), given)].into()).map_err(|e| e.to_string())?;
        (stored, secrets, canaries) = (Some(recorded), values, vec![CODE.to_owned()]);
    }
    let alike = Arc::new(plan_ending(pieces, OnFailure::Pause, "-theirs"));
    let world: MakeWorld = {
        let secrets = (stored.clone(), secrets.clone());
        Arc::new(move || {
            let (alike, right, secrets) = (alike.clone(), right.clone(), secrets.clone());
            Box::pin(async move {
                let yard = Yard::new(run, &["heat", "heat-theirs"]);
                switchback_rehearsal::populate(&yard, alike, right, secrets, other).await?;
                Ok(Arc::new(yard) as Arc<dyn World>)
            })
        })
    };
    Ok(Subject {
        plan: Arc::new(plan(pieces, on_failure)),
        plan_hash: String::new(),
        registry: Arc::new(registry(bug).map_err(|e| e.to_string())?),
        run,
        secrets: (stored, secrets),
        canaries,
        world,
        wrap_journal: None,
    })
}
