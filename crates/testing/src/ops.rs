//! Operations on the in-memory [`World`], one a way of proving ownership: by tag, by client
//! token, by unique name, by value alone (weak), and a value that replaces another.

use std::marker::PhantomData;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::registry::{DuplicateKind, Registry};
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use crate::world::{QUIET, Thing, World, Write};

/// How a kind proves what it made.
pub trait Kind: Send + Sync + 'static {
    /// The operation's kind.
    const KIND: &'static str;
    /// How it proves it.
    const PROOF: Way;
    /// Whether settle is called.
    const SETTLES: bool = true;
}

/// The ways of proving that a thing is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Marked in the create call; any number may exist.
    Tag,
    /// Marked, and a replayed create finds the first.
    Token,
    /// Marked, and one of a name.
    Name,
    /// A value that was absent before: weak.
    Value,
    /// A value that replaces another and that nobody else would write; restored.
    Upsert,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $kind:literal $way:ident $settles:literal;)*) => {
        $($(#[$doc])* #[derive(Debug)] pub struct $name;
        impl Kind for $name {
            const KIND: &'static str = $kind;
            const PROOF: Way = Way::$way;
            const SETTLES: bool = $settles;
        })*
        /// Adds every test operation.
        ///
        /// # Errors
        /// When one is registered already.
        pub fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
            $(registry.register(Op::<$name>(PhantomData))?;)*
            Ok(())
        }
    };
}

kinds! {
    /// Proved by tag.
    Tag "test.tag" Tag true;
    /// Proved by tag, with a client token.
    Token "test.token" Token true;
    /// Proved by tag, unique by name.
    Name "test.name" Name true;
    /// Proved by value only.
    Value "test.value" Value false;
    /// A value with a before-image.
    Upsert "test.upsert" Upsert true;
}

struct Op<K>(PhantomData<K>);

/// What a step wants.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The slot that the thing goes into.
    pub slot: String,
    /// The slots that it hangs on.
    #[serde(default)]
    pub uses: Vec<String>,
    /// How many settle calls it takes.
    #[serde(default)]
    pub settles: u32,
    /// Makes `verify` disagree for ever.
    #[serde(default)]
    pub never_right: bool,
    /// `verify` of what was created is not allowed.
    #[serde(default)]
    pub verify_denied: bool,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Before {
    value: Option<Thing>,
}

/// What was made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its id.
    pub id: String,
    /// The slot, for steps that hang on it.
    pub slot: String,
}

const OURS: &str = "ours";

impl<K: Kind> Op<K> {
    fn mark(cx: &Cx) -> String {
        format!("{}/{}/{}", cx.run(), cx.step(), cx.generation())
    }

    /// The thing that is ours, as far as this kind can tell.
    fn ours<'a>(cx: &Cx, things: &'a [Thing]) -> Option<&'a Thing> {
        match K::PROOF {
            Way::Tag | Way::Token | Way::Name => {
                let mark = Self::mark(cx);
                things.iter().find(|t| t.mark.as_deref() == Some(&mark))
            }
            Way::Value | Way::Upsert => things.iter().find(|t| t.value == OURS),
        }
    }

    fn thing(cx: &Cx, p: &Params) -> Thing {
        let marked = matches!(K::PROOF, Way::Tag | Way::Token | Way::Name);
        Thing {
            id: String::new(),
            mark: marked.then(|| Self::mark(cx)),
            value: OURS.to_owned(),
            settled: 0,
            uses: p.uses.clone(),
            ours: true,
        }
    }
}

impl<K: Kind> Operation for Op<K> {
    const KIND: &'static str = K::KIND;
    const VERSION: u32 = 1;
    const SETTLES: bool = K::SETTLES;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, _p: &Params) -> Facts {
        Facts {
            proof: if K::PROOF == Way::Value { ProofKind::ByFind } else { ProofKind::Strong },
            unique: matches!(K::PROOF, Way::Token | Way::Name),
            quiet: QUIET,
            create_deadline: Duration::from_secs(3600),
            rollback_deadline: Duration::from_secs(600),
            creates: vec!["world:Add".into()],
            ..Facts::without_effect()
        }
    }

    async fn capture(&self, cx: &Cx, p: &Params) -> OpResult<Before> {
        let world = cx.get::<World>()?;
        let things = world.read(&p.slot).await?;
        match K::PROOF {
            Way::Tag | Way::Token => Ok(Before { value: None }),
            Way::Name | Way::Value => match things.first() {
                None => Ok(Before { value: None }),
                Some(t) => Err(OpError::foreign(format!("`{}` holds {}", p.slot, t.id))),
            },
            Way::Upsert => Ok(Before { value: things.first().cloned() }),
        }
    }

    async fn create(&self, cx: &Cx, p: &Params, before: &Before) -> OpResult<Output> {
        let world = cx.get::<World>()?;
        if K::PROOF == Way::Tag {
            // Resolving an endpoint: some clients give way before they send.
            tokio::task::yield_now().await;
        }
        cx.check_fence()?;
        let thing = Self::thing(cx, p);
        let write = match K::PROOF {
            Way::Tag => Write::Add { thing, token: None, exclusive: false },
            Way::Token => Write::Add { thing, token: Some(cx.token().to_owned()), exclusive: false },
            Way::Name | Way::Value => Write::Add { thing, token: None, exclusive: true },
            Way::Upsert => {
                let now = world.read(&p.slot).await?;
                let moved = now.first().map(|t| &t.value) != before.value.as_ref().map(|t| &t.value);
                if moved && now.first().is_none_or(|t| t.value != OURS) {
                    return Err(OpError::drift(format!("`{}` has changed since it was captured", p.slot)));
                }
                Write::Put(thing)
            }
        };
        let id = world.write(&p.slot, write).await?.unwrap_or_default();
        Ok(Output { id, slot: p.slot.clone() })
    }

    async fn settle(&self, cx: &Cx, p: &Params, _b: &Before, out: &Output) -> OpResult<Output> {
        let world = cx.get::<World>()?;
        for level in 1..=p.settles {
            cx.check_fence()?;
            if K::PROOF == Way::Name && Self::ours(cx, &world.read(&p.slot).await?).is_none() {
                return Err(OpError::new(switchback_model::ErrorClass::Busy, "what we made is not there"));
            }
            let write = if K::PROOF == Way::Upsert {
                if Self::ours(cx, &world.read(&p.slot).await?).is_none() {
                    return Err(OpError::new(switchback_model::ErrorClass::Busy, "what we put is not there"));
                }
                Write::Put(Thing { settled: level, ..Self::thing(cx, p) })
            } else {
                Write::Settle { id: out.id.clone(), level }
            };
            world.write(&p.slot, write).await?;
        }
        Ok(out.clone())
    }

    async fn find(&self, cx: &Cx, p: &Params, before: &Before) -> OpResult<Found<Output>> {
        let things = cx.get::<World>()?.read(&p.slot).await?;
        if let Some(t) = Self::ours(cx, &things) {
            let proof = if K::PROOF == Way::Value { Proof::Weak } else { Proof::Strong };
            return Ok(Found::Ours { output: Output { id: t.id.clone(), slot: p.slot.clone() }, proof });
        }
        Ok(match (K::PROOF, things.first()) {
            (Way::Tag | Way::Token, _) | (_, None) => Found::Absent,
            (Way::Upsert, Some(t)) if before.value.as_ref().is_some_and(|b| b.value == t.value) => Found::Absent,
            (_, Some(t)) => Found::Foreign { what: format!("{} in `{}`", t.id, p.slot) },
        })
    }

    async fn rollback(&self, cx: &Cx, p: &Params, before: &Before, out: &Output) -> OpResult<Undo> {
        let world = cx.get::<World>()?;
        cx.check_fence()?;
        if matches!(K::PROOF, Way::Tag | Way::Token) {
            // By id: there is nothing to look at first.
            let done = world.write(&p.slot, Write::Remove { id: out.id.clone() }).await?;
            return Ok(if done.is_some() { Undo::Done } else { Undo::Nothing });
        }
        let things = world.read(&p.slot).await?;
        match K::PROOF {
            Way::Tag | Way::Token => Ok(Undo::Nothing),
            Way::Name => match Self::ours(cx, &things) {
                None => Ok(Undo::Nothing),
                Some(t) => {
                    let done = world.write(&p.slot, Write::Remove { id: t.id.clone() }).await?;
                    Ok(if done.is_some() { Undo::Done } else { Undo::Nothing })
                }
            },
            Way::Value => match things.first() {
                None => Ok(Undo::Nothing),
                Some(t) if t.value == OURS => {
                    let done = world.write(&p.slot, Write::Remove { id: t.id.clone() }).await?;
                    Ok(if done.is_some() { Undo::Done } else { Undo::Nothing })
                }
                Some(t) => Err(OpError::drift(format!("`{}` is `{}`, neither ours nor absent", p.slot, t.value))),
            },
            Way::Upsert => match things.first() {
                Some(t) if t.value == OURS => {
                    let back = before.value.clone().ok_or_else(|| OpError::permanent("no value to restore"))?;
                    world.write(&p.slot, Write::Put(back)).await?;
                    Ok(Undo::Done)
                }
                t if t.map(|t| &t.value) == before.value.as_ref().map(|t| &t.value) => Ok(Undo::Nothing),
                t => Err(OpError::drift(format!("`{}` is {t:?}, neither ours nor the before-image", p.slot))),
            },
        }
    }

    async fn verify(
        &self,
        cx: &Cx,
        p: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if p.verify_denied && want == Expect::Created {
            return Err(OpError::permanent("not allowed to look"));
        }
        let things = cx.get::<World>()?.read(&p.slot).await?;
        let ours = Self::ours(cx, &things);
        Ok(match want {
            Expect::Created => {
                let there = match K::PROOF {
                    Way::Tag | Way::Token => things.iter().find(|t| out.is_some_and(|o| o.id == t.id)),
                    _ => ours,
                };
                let mut verdict = Verdict::new().compare("there", true, there.is_some());
                if K::SETTLES {
                    verdict = verdict.compare("settled", p.settles, there.map_or(0, |t| t.settled));
                }
                if p.never_right {
                    verdict = verdict.compare("right", true, false);
                }
                verdict
            }
            Expect::RolledBack => match K::PROOF {
                Way::Upsert => {
                    let value = |t: Option<&Thing>| t.map(|t| t.value.clone());
                    Verdict::new().compare("value", value(before.value.as_ref()), value(things.first()))
                }
                Way::Value => Verdict::new().compare("there", false, !things.is_empty()),
                _ => Verdict::new().compare("there", false, ours.is_some()),
            },
        })
    }
}
