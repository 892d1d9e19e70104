//! Operations on the yard, one for each kind of thing, each right but for the one [`Bug`] that it may be given.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use switchback_engine::registry::{DuplicateKind, Registry};
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef, canonical};

use super::api::{Ask, Kind, QUIET, Thing};
use super::world::Yard;

/// What is wrong with an operation. It is so in one kind of thing, which its name or its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// `create` sets no tags on a shelf.
    NoTags,
    /// The tags of a shelf do not say the generation.
    TagsWithoutGeneration,
    /// `find` takes any run's shelf for ours whose tags name the step.
    FindsByStep,
    /// `find` gives no `arn` of a shelf.
    FindsLess,
    /// The facts of a shelf have no quiet period, so the first "not found" is believed.
    BelievesAtOnce,
    /// `create` of a shelf says that it failed when no reply came.
    LostReplyFails,
    /// `create` of a shelf sets its width as well, and `settle` does not.
    SetsInCreate,
    /// `settle` of a shelf fails where it has been before.
    SettlesOnce,
    /// `settle` of a shelf writes its note once more each time.
    SettleAppends,
    /// The facts of a shelf declare no call of `settle`.
    SettleUndeclared,
    /// The facts of a shelf declare another read.
    ReadMisdeclared,
    /// `rollback` deletes the first shelf of that name.
    RollsBackByName,
    /// `rollback` of a shelf does not wait until it is gone.
    DoesNotWait,
    /// `verify` looks whether a shelf of that name is left.
    VerifiesByName,
    /// `verify` of a chest says yes without a look.
    VerifiesBlindly,
    /// `verify` of a chest looks, and says yes.
    AlwaysAgrees,
    /// `rollback` of a chest fails where it has been before.
    RollsBackOnce,
    /// A chest is of the first generation whatever the engine says.
    FirstGeneration,
    /// The output of a door has what opens it.
    SecretInOutput,
    /// `verify` of a door compares what opens it.
    SecretInVerify,
    /// An error of a door spells out what opens it, in hex.
    SecretInError,
    /// `create` turns a dial that was turned since it was captured.
    Overwrites,
    /// `rollback` turns a dial back without a look.
    RestoresBlindly,
    /// `capture` of a dial does not look: it says what a dial says when it is new.
    CapturesNothing,
    /// `rollback` of a sign takes it down whatever it says.
    TakesDownAny,
}

/// Every operation on the yard, of which one may have a bug.
///
/// # Errors
/// Never: their kinds differ.
pub fn registry(bug: Option<Bug>) -> Result<Registry, DuplicateKind> {
    let mut registry = Registry::new();
    registry.register(Op::<Shelf>(bug, PhantomData))?;
    registry.register(Op::<Chest>(bug, PhantomData))?;
    registry.register(Op::<Door>(bug, PhantomData))?;
    registry.register(Op::<Sign>(bug, PhantomData))?;
    registry.register(Op::<Dial>(bug, PhantomData))?;
    Ok(registry)
}

/// What the kinds differ in beyond their calls.
trait Of: Send + Sync + 'static {
    const KIND: &'static str;
    const OF: Kind;
    const SETTLES: bool = false;
}

macro_rules! kinds {
    ($($name:ident $kind:literal $settles:literal;)*) => {
        $(struct $name;
        impl Of for $name {
            const KIND: &'static str = $kind;
            const OF: Kind = Kind::$name;
            const SETTLES: bool = $settles;
        })*
    };
}

kinds! {
    Shelf "yard.shelf" true;
    Chest "yard.chest" false;
    Door "yard.door" false;
    Sign "yard.sign" false;
    Dial "yard.dial" false;
}

struct Op<K>(Option<Bug>, PhantomData<K>);

/// What a step wants.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// Its name.
    name: String,
    /// The ARN of the shelf that it stands on.
    #[serde(default)]
    on: Option<String>,
    /// The door that it hangs at, which must be there.
    #[serde(default)]
    at: Option<String>,
    /// The door that it speaks of: that one cannot go while this is there.
    #[serde(default)]
    of: Option<String>,
    /// What it says, or where it is turned to.
    #[serde(default)]
    value: String,
    /// How wide it is.
    #[serde(default)]
    width: u32,
    /// What opens it.
    #[serde(default)]
    code: Option<SecretRef>,
}

/// What was there before: where a dial stood, and who had turned it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Before {
    dial: Option<(String, String)>,
}

/// What was made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct Output {
    /// Its id.
    id: String,
    /// The same with the yard's name before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

const ARN: &str = "yard:";

impl Output {
    fn of(thing: &Thing) -> Self {
        Self { id: thing.id.clone(), arn: Some(format!("{ARN}{}", thing.id)), code: None }
    }
}

fn is(error: &OpError, code: &str) -> bool {
    error.code.as_deref() == Some(code)
}

impl<K: Of> Op<K> {
    fn has(&self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }

    /// Whether its tags, or who turned it, can prove that it is ours.
    const fn strong() -> bool {
        !matches!(K::OF, Kind::Sign)
    }

    fn is_tagged() -> bool {
        matches!(K::OF, Kind::Shelf | Kind::Chest | Kind::Door)
    }

    async fn get(cx: &Cx) -> OpResult<Vec<Thing>> {
        cx.get::<Yard>()?.call(cx, Ask::Get(K::OF)).await
    }

    fn tags(&self, cx: &Cx) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::from(cx.ownership_tags());
        match self.0 {
            Some(Bug::NoTags) if K::OF == Kind::Shelf => tags.clear(),
            Some(Bug::TagsWithoutGeneration) if K::OF == Kind::Shelf => {
                tags.retain(|name, _| !name.ends_with(":generation"));
            }
            Some(Bug::FirstGeneration) if K::OF == Kind::Chest => {
                tags.insert("switchback:generation".to_owned(), "1".to_owned());
            }
            _ => {}
        }
        tags
    }

    fn mark(cx: &Cx) -> String {
        format!("{}/{}/{}", cx.run(), cx.step(), cx.generation())
    }

    fn code(cx: &Cx, p: &Params) -> OpResult<String> {
        p.code.as_ref().map_or(Ok(String::new()), |code| Ok(cx.secret(code)?.expose_secret().to_owned()))
    }

    /// The thing that is ours, as far as this kind can tell.
    fn ours<'a>(&self, cx: &Cx, p: &Params, things: &'a [Thing]) -> Option<&'a Thing> {
        let tags = self.tags(cx);
        things.iter().find(|thing| {
            !thing.is_ending()
                && match K::OF {
                    Kind::Shelf | Kind::Chest | Kind::Door => {
                        let same = |(name, value)| thing.tags.get(name) == Some(value);
                        !tags.is_empty() && tags.iter().all(same)
                    }
                    Kind::Sign => thing.name == p.name && thing.value == p.value,
                    Kind::Dial => thing.name == p.name && thing.tags.get("by") == Some(&Self::mark(cx)),
                }
        })
    }

    fn named<'a>(p: &Params, things: &'a [Thing]) -> Option<&'a Thing> {
        things.iter().find(|thing| thing.name == p.name)
    }

    /// Turns the dial, unless somebody else than `last` was the last.
    async fn turn(cx: &Cx, p: &Params, (value, by): (&str, &str), last: Option<String>) -> OpResult<Vec<Thing>> {
        let (value, by) = (value.to_owned(), by.to_owned());
        cx.get::<Yard>()?.call(cx, Ask::Turn { name: p.name.clone(), value, by, last }).await
    }
}

impl<K: Of> Operation for Op<K> {
    const KIND: &'static str = K::KIND;
    const VERSION: u32 = 1;
    const SETTLES: bool = K::SETTLES;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, _: &Params) -> Facts {
        let of = K::OF;
        let shelf = of == Kind::Shelf;
        let mut facts = Facts {
            proof: if Self::strong() { ProofKind::Strong } else { ProofKind::ByFind },
            unique: matches!(of, Kind::Chest | Kind::Door),
            quiet: QUIET,
            create_deadline: Duration::from_secs(300),
            rollback_deadline: Duration::from_secs(300),
            reads: vec![format!("yard:Get{of:?}").into()],
            creates: vec![format!("yard:Create{of:?}").into()],
            settles: if shelf { vec!["yard:SetWidth".into(), "yard:AddNote".into()] } else { Vec::new() },
            rolls_back: vec![format!("yard:Delete{of:?}").into()],
            ..Facts::without_effect()
        };
        if of == Kind::Dial {
            facts.creates = vec!["yard:TurnDial".into()];
            facts.rolls_back = vec!["yard:TurnDial".into()];
        }
        match self.0 {
            Some(Bug::BelievesAtOnce) if shelf => facts.quiet = Duration::ZERO,
            Some(Bug::SetsInCreate) if shelf => facts.creates.push("yard:SetWidth".into()),
            Some(Bug::SettleUndeclared) if shelf => facts.settles.clear(),
            Some(Bug::ReadMisdeclared) if shelf => facts.reads = vec!["yard:GetChest".into()],
            _ => {}
        }
        facts
    }

    async fn capture(&self, cx: &Cx, p: &Params) -> OpResult<Before> {
        let nothing = Before { dial: None };
        if matches!(K::OF, Kind::Shelf | Kind::Chest) {
            return Ok(nothing);
        }
        if K::OF == Kind::Dial && self.has(Bug::CapturesNothing) {
            return Ok(Before { dial: Some(("0".to_owned(), String::new())) });
        }
        let things = Self::get(cx).await?;
        match (K::OF, Self::named(p, &things)) {
            (Kind::Dial, Some(dial)) => {
                let by = dial.tags.get("by").cloned().unwrap_or_default();
                Ok(Before { dial: Some((dial.value.clone(), by)) })
            }
            (Kind::Dial, None) => Err(OpError::permanent(format!("there is no dial `{}`", p.name))),
            (_, None) => Ok(nothing),
            (_, Some(thing)) => Err(OpError::foreign(format!("`{}` is there", thing.id))),
        }
    }

    async fn create(&self, cx: &Cx, p: &Params, before: &Before) -> OpResult<Output> {
        let yard = cx.get::<Yard>()?;
        if K::OF == Kind::Dial {
            let last = before.dial.as_ref().map(|(_, by)| by.clone()).filter(|_| !self.has(Bug::Overwrites));
            Self::turn(cx, p, (&p.value, &Self::mark(cx)), last).await?;
            return Ok(Output::of(&Thing { id: p.name.clone(), ..Thing::new(Kind::Dial, &p.name) }));
        }
        let code = Self::code(cx, p)?;
        let mut thing = Thing::new(K::OF, &p.name);
        thing.value = if K::OF == Kind::Door { code.clone() } else { p.value.clone() };
        thing.firm = p.of.is_none();
        let shelf = p.on.as_ref().map(|arn| arn.trim_start_matches(ARN).to_owned());
        thing.on = shelf.into_iter().chain(p.at.clone()).chain(p.of.clone()).collect();
        if Self::is_tagged() {
            thing.tags = self.tags(cx);
        }
        let token = match K::OF {
            Kind::Chest if self.has(Bug::FirstGeneration) => Some(format!("{}/{}", cx.run(), cx.step())),
            Kind::Chest => Some(cx.token().to_owned()),
            _ => None,
        };
        let made = yard.call(cx, Ask::Create { thing: Box::new(thing), token }).await;
        let made = made.map_err(|error| match error.class {
            ErrorClass::Ambiguous if K::OF == Kind::Shelf && self.has(Bug::LostReplyFails) => {
                OpError { class: ErrorClass::Permanent, ..error }
            }
            _ if K::OF == Kind::Door && self.has(Bug::SecretInError) => OpError {
                message: format!("{} (the code was {})", error.message, canonical::hex(code.as_bytes())),
                ..error
            },
            _ => error,
        })?;
        let made = made.first().ok_or_else(|| OpError::permanent("the yard says nothing of what it made"))?;
        let mut output = Output::of(made);
        if K::OF == Kind::Shelf && self.has(Bug::SetsInCreate) {
            yard.call(cx, Ask::SetWidth { id: made.id.clone(), width: p.width }).await?;
        }
        if K::OF == Kind::Door && self.has(Bug::SecretInOutput) {
            output.code = Some(code);
        }
        Ok(output)
    }

    async fn settle(&self, cx: &Cx, p: &Params, _: &Before, out: &Output) -> OpResult<Output> {
        let yard = cx.get::<Yard>()?;
        if !self.has(Bug::SetsInCreate) {
            yard.call(cx, Ask::SetWidth { id: out.id.clone(), width: p.width }).await?;
        }
        let key = Some(cx.token().to_owned()).filter(|_| !self.has(Bug::SettleAppends));
        let only_new = self.has(Bug::SettlesOnce);
        yard.call(cx, Ask::AddNote { id: out.id.clone(), key, only_new }).await?;
        cx.wait_for("waiting until the shelf stands", Duration::from_secs(5), || async {
            let things = Self::get(cx).await?;
            Ok(things.iter().any(|thing| thing.id == out.id && thing.is_ready()).then_some(()))
        })
        .await?;
        Ok(out.clone())
    }

    async fn find(&self, cx: &Cx, p: &Params, before: &Before) -> OpResult<Found<Output>> {
        let things = Self::get(cx).await?;
        let mut ours = self.ours(cx, p, &things);
        if K::OF == Kind::Shelf && self.has(Bug::FindsByStep) {
            let step = cx.step().as_tag_value();
            ours = things.iter().find(|thing| thing.tags.get("switchback:step") == Some(&step));
        }
        if let Some(thing) = ours {
            let mut output = Output::of(thing);
            if K::OF == Kind::Shelf && self.has(Bug::FindsLess) {
                output.arn = None;
            }
            let proof = if Self::strong() { Proof::Strong } else { Proof::Weak };
            return Ok(Found::Ours { output, proof });
        }
        Ok(match (K::OF, Self::named(p, &things)) {
            (Kind::Shelf | Kind::Chest, _) | (_, None) => Found::Absent,
            (Kind::Dial, Some(dial)) if before.dial.as_ref().is_some_and(|(value, _)| *value == dial.value) => {
                Found::Absent
            }
            (_, Some(thing)) => Found::Foreign { what: format!("the {:?} `{}`", K::OF, thing.id).to_lowercase() },
        })
    }

    async fn rollback(&self, cx: &Cx, p: &Params, before: &Before, out: &Output) -> OpResult<Undo> {
        let yard = cx.get::<Yard>()?;
        let mut id = out.id.clone();
        match K::OF {
            Kind::Dial => {
                let Some((value, by)) = &before.dial else {
                    return Err(OpError::permanent("no place to turn the dial back to is on record"));
                };
                if self.has(Bug::RestoresBlindly) {
                    Self::turn(cx, p, (value, by), None).await?;
                    return Ok(Undo::Done);
                }
                let things = Self::get(cx).await?;
                return match Self::named(p, &things) {
                    Some(dial) if dial.tags.get("by") == Some(&Self::mark(cx)) => {
                        Self::turn(cx, p, (value, by), Some(Self::mark(cx))).await?;
                        Ok(Undo::Done)
                    }
                    Some(dial) if dial.value == *value => Ok(Undo::Nothing),
                    _ => Err(OpError::drift(format!("the dial `{}` was turned by somebody else", p.name))),
                };
            }
            Kind::Door | Kind::Sign => {
                let things = Self::get(cx).await?;
                match (self.ours(cx, p, &things), Self::named(p, &things)) {
                    (Some(_), _) => {}
                    (None, Some(_)) if K::OF == Kind::Sign && self.has(Bug::TakesDownAny) => {}
                    (None, Some(thing)) if K::OF == Kind::Sign => {
                        return Err(OpError::drift(format!("the sign `{}` says `{}`", p.name, thing.value)));
                    }
                    (None, _) => return Ok(Undo::Nothing),
                }
            }
            Kind::Shelf if self.has(Bug::RollsBackByName) => match Self::named(p, &Self::get(cx).await?) {
                Some(shelf) => id.clone_from(&shelf.id),
                None => return Ok(Undo::Nothing),
            },
            Kind::Shelf | Kind::Chest => {}
        }
        let only = (K::OF == Kind::Sign && !self.has(Bug::TakesDownAny)).then(|| p.value.clone());
        match yard.call(cx, Ask::Delete { kind: K::OF, id: id.clone(), only }).await {
            Ok(_) => {}
            Err(error) if is(&error, "NotFound") && !(K::OF == Kind::Chest && self.has(Bug::RollsBackOnce)) => {
                return Ok(Undo::Nothing);
            }
            Err(error) => return Err(error),
        }
        if K::OF == Kind::Shelf && !self.has(Bug::DoesNotWait) {
            cx.wait_for("waiting until the shelf is gone", Duration::from_secs(5), || async {
                let things = Self::get(cx).await?;
                Ok((!things.iter().any(|thing| thing.id == id)).then_some(()))
            })
            .await?;
        }
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        p: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let agrees = Verdict::new().compare("there", true, true);
        if K::OF == Kind::Chest && self.has(Bug::VerifiesBlindly) {
            return Ok(agrees);
        }
        let things = Self::get(cx).await?;
        if K::OF == Kind::Chest && self.has(Bug::AlwaysAgrees) {
            return Ok(agrees);
        }
        if want == Expect::RolledBack {
            return Ok(match (K::OF, &before.dial) {
                (Kind::Dial, Some((value, _))) => {
                    let is = Self::named(p, &things).map(|dial| dial.value.as_str());
                    Verdict::new().compare("turned to", value.as_str(), is)
                }
                (Kind::Shelf, _) if self.has(Bug::VerifiesByName) => {
                    Verdict::new().compare("a shelf of that name", false, Self::named(p, &things).is_some())
                }
                _ => Verdict::new().compare("there", false, self.ours(cx, p, &things).is_some()),
            });
        }
        let there = match K::OF {
            Kind::Shelf | Kind::Chest => things.iter().find(|thing| out.is_some_and(|out| out.id == thing.id)),
            _ => self.ours(cx, p, &things),
        };
        let mut verdict = Verdict::new().compare("ready", true, there.is_some_and(Thing::is_ready));
        if K::OF == Kind::Door {
            if self.has(Bug::SecretInVerify) {
                let code = Self::code(cx, p)?;
                verdict = verdict.compare("code", code, there.map(|thing| thing.value.as_str()));
            }
            return Ok(verdict);
        }
        verdict = verdict.compare("value", p.value.as_str(), there.map(|thing| thing.value.as_str()));
        if K::OF == Kind::Shelf {
            verdict = verdict.compare("width", p.width, there.map(|thing| thing.width));
            verdict = verdict.compare("has a note", true, there.is_some_and(|thing| !thing.notes.is_empty()));
        }
        Ok(verdict)
    }
}
