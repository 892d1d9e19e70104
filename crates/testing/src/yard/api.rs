//! What the yard holds, and what its calls do to it. Nothing here fails but for a reason that the yard itself has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use switchback_model::{ErrorClass, OpError, OpResult, RunId};

/// How late a write lands, how far a read lags, how long a slow call takes.
pub const LATE: Duration = Duration::from_secs(20);
/// The quiet period of the yard. Longer than [`LATE`].
pub const QUIET: Duration = Duration::from_secs(30);
/// How long a shelf is pending, and how long it is still seen when it is deleted. Longer than [`QUIET`].
const SLOW: Duration = Duration::from_secs(40);

/// What a thing says that somebody else changed.
const SOMEBODY_ELSE: &str = "somebody else's";

/// The yard's time, since it was made.
pub(super) type Now = Duration;

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Slow; others stand on it.
    Shelf,
    /// Stands on a shelf.
    Chest,
    /// One of a name.
    Door,
    /// One of a name, without tags.
    Sign,
    /// There already.
    Dial,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Who is asking?
    WhoAmI,
    /// Everything with tags.
    GetTagged,
    /// All things of a kind.
    Get(Kind),
    /// Makes a thing; a repeated token finds the first one.
    Create {
        /// The thing. Its id is made up, or is its name.
        thing: Box<Thing>,
        /// The client token.
        token: Option<String>,
    },
    /// How wide a shelf is.
    SetWidth {
        /// Which.
        id: String,
        /// So wide.
        width: u32,
    },
    /// Writes a note on a shelf.
    AddNote {
        /// Which.
        id: String,
        /// A note with a key that is there already is not written twice.
        key: Option<String>,
        /// Refused when a note with that key is there.
        only_new: bool,
    },
    /// Turns a dial.
    Turn {
        /// Which.
        name: String,
        /// Where to.
        value: String,
        /// Who turns it, as it is to be noted on it.
        by: String,
        /// Refused when the last one was somebody else.
        last: Option<String>,
    },
    /// Removes a thing.
    Delete {
        /// What it is.
        kind: Kind,
        /// Which.
        id: String,
        /// Refused when it says something else.
        only: Option<String>,
    },
}

impl Ask {
    /// What it is called: `CreateShelf`.
    #[must_use]
    pub fn action(&self) -> String {
        match self {
            Self::WhoAmI => "WhoAmI".to_owned(),
            Self::GetTagged => "GetTagged".to_owned(),
            Self::Get(kind) => format!("Get{kind:?}"),
            Self::Create { thing, .. } => format!("Create{:?}", thing.kind),
            Self::SetWidth { .. } => "SetWidth".to_owned(),
            Self::AddNote { .. } => "AddNote".to_owned(),
            Self::Turn { .. } => "TurnDial".to_owned(),
            Self::Delete { kind, .. } => format!("Delete{kind:?}"),
        }
    }

    /// Whether it can change anything.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self, Self::WhoAmI | Self::GetTagged | Self::Get(_))
    }

    /// The thing that it names.
    pub(super) fn names(&self) -> Option<&str> {
        match self {
            Self::SetWidth { id, .. } | Self::AddNote { id, .. } | Self::Delete { id, .. } => Some(id),
            Self::Turn { name, .. } => Some(name),
            Self::Create { thing, .. } => Some(&thing.name),
            Self::WhoAmI | Self::GetTagged | Self::Get(_) => None,
        }
    }
}

/// Where a thing is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Until then; stuck without a time.
    Pending(Option<Now>),
    #[default]
    Ready,
    /// Seen until then; stuck without a time.
    Ending(Option<Now>),
}

/// A thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Thing {
    /// What kind of thing.
    pub kind: Kind,
    /// Its id; for what is one of a name, the name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The ids of what it stands on or speaks of: these cannot be deleted while it is there.
    pub on: Vec<String>,
    /// Whether they must be there, and ready, when it is made.
    pub firm: bool,
    /// What it says, where it is turned to, what opens it.
    pub value: String,
    /// How wide it is.
    pub width: u32,
    /// The notes on it, by key.
    pub notes: Vec<String>,
    pub(super) phase: Phase,
    pub(super) truth: Truth,
}

/// What only checks know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    /// Who made or turned it: the run, and its step as a tag value.
    pub(super) by: Option<(RunId, String)>,
    /// Where a dial was turned to by those who do not run a plan.
    pub(super) theirs: String,
    /// They turned it, and no run has looked since.
    pub(super) unseen: bool,
    /// What it was before somebody else changed it.
    pub(super) was: Option<Box<Thing>>,
}

impl Thing {
    /// A thing that stands on nothing.
    #[must_use]
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            id: String::new(),
            name: name.to_owned(),
            tags: BTreeMap::new(),
            on: Vec::new(),
            firm: false,
            value: String::new(),
            width: 0,
            notes: Vec::new(),
            phase: Phase::Ready,
            truth: Truth::default(),
        }
    }

    /// Whether it is on its way out.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_))
    }

    /// Whether it is all there.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }
}

/// Things by id.
pub(super) type Things = BTreeMap<String, Thing>;

/// A call with who makes it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) run: RunId,
    /// As a tag value; none: for the run as a whole.
    pub(super) step: Option<String>,
    pub(super) ask: Ask,
}

/// Everything that exists. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Everything {
    pub(super) things: Arc<Things>,
    tokens: Arc<BTreeMap<String, String>>,
    /// Earlier states, each with the time when it ended.
    past: Vec<(Now, Arc<Things>)>,
    /// Calls that are still to land.
    pub(super) late: Vec<(Now, Request)>,
    /// Ids of what somebody else had turned or written, and a run turned or took down unseen; with the step that did.
    pub(super) lost: BTreeMap<String, String>,
    ids: u32,
}

fn refused(class: ErrorClass, code: &str, message: String) -> OpError {
    OpError::new(class, message).with_code(code)
}

impl Everything {
    /// What passes by itself: things become ready, or go; late calls land.
    pub(super) fn pass(&mut self, now: Now) {
        let due =
            |thing: &Thing| matches!(thing.phase, Phase::Pending(Some(at)) | Phase::Ending(Some(at)) if at <= now);
        if self.things.values().any(due) {
            self.change(now, |things| {
                things.retain(|_, thing| !(due(thing) && thing.is_ending()));
                for thing in things.values_mut().filter(|thing| due(thing)) {
                    thing.phase = Phase::Ready;
                }
            });
        }
        while let Some(at) = self.late.iter().position(|(at, _)| *at <= now) {
            let (_, request) = self.late.remove(at);
            // Nobody hears the answer.
            let _ = self.effect(&request, now);
        }
    }

    /// Changes things, and keeps what was for those who lag.
    fn change<T>(&mut self, now: Now, change: impl FnOnce(&mut Things) -> T) -> T {
        self.past.retain(|(until, _)| *until + LATE > now);
        self.past.push((now, self.things.clone()));
        change(Arc::make_mut(&mut self.things))
    }

    /// What a read sees that lags.
    pub(super) fn a_while_ago(&self, now: Now) -> Arc<Things> {
        let seen = self.past.iter().find(|(until, _)| *until + LATE > now);
        seen.map_or(&self.things, |(_, things)| things).clone()
    }

    /// Does what is asked.
    pub(super) fn effect(&mut self, request: &Request, now: Now) -> OpResult<Vec<Thing>> {
        let by = || Some((request.run, request.step.clone().unwrap_or_default()));
        match &request.ask {
            Ask::WhoAmI | Ask::GetTagged | Ask::Get(_) => {
                let seen = read(&self.things, &request.ask);
                if self.things.values().any(|thing| thing.truth.unseen && seen.iter().any(|s| s.id == thing.id)) {
                    // Seen is not changed: what lags stays as it is.
                    for thing in Arc::make_mut(&mut self.things).values_mut() {
                        thing.truth.unseen = false;
                    }
                }
                Ok(seen)
            }
            Ask::Create { thing, token } => {
                let thing = Thing { truth: Truth { by: by(), ..Truth::default() }, ..(**thing).clone() };
                self.create(thing, token.as_deref(), now).map(|thing| vec![thing])
            }
            Ask::SetWidth { id, width } => self.on_shelf(id, now, |shelf| {
                shelf.width = *width;
                Ok(())
            }),
            Ask::AddNote { id, key, only_new } => self.on_shelf(id, now, |shelf| {
                let there = key.as_ref().is_some_and(|key| shelf.notes.contains(key));
                match (there, *only_new) {
                    (true, true) => Err(refused(ErrorClass::Permanent, "NoteExists", "the note is there".into())),
                    (true, false) => Ok(()),
                    (false, _) => {
                        shelf.notes.push(key.clone().unwrap_or_default());
                        Ok(())
                    }
                }
            }),
            Ask::Turn { name, value, by: note, last } => {
                let Some(dial) = self.things.get(name).filter(|thing| thing.kind == Kind::Dial) else {
                    return Err(refused(ErrorClass::Permanent, "NotFound", format!("there is no dial `{name}`")));
                };
                let last_by = dial.tags.get("by").map_or("", String::as_str);
                if last.as_ref().is_some_and(|last| last != last_by) {
                    let message = format!("the dial `{name}` was turned by somebody else");
                    return Err(refused(ErrorClass::Drift, "ConditionFailed", message));
                }
                if dial.truth.unseen {
                    self.lost.insert(name.clone(), request.step.clone().unwrap_or_default());
                }
                self.change(now, |things| {
                    let Some(dial) = things.get_mut(name) else { return };
                    dial.value.clone_from(value);
                    dial.tags = [("by".to_owned(), note.clone())].into();
                    dial.truth.by = by();
                });
                Ok(Vec::new())
            }
            Ask::Delete { kind, id, only } => self.delete(*kind, id, only.as_deref(), request.step.clone(), now),
        }
    }

    fn create(&mut self, mut thing: Thing, token: Option<&str>, now: Now) -> OpResult<Thing> {
        if let Some(id) = token.and_then(|token| self.tokens.get(token)) {
            let made = self.things.get(id).cloned();
            return Ok(made.unwrap_or_else(|| Thing { id: id.clone(), phase: Phase::Ending(None), ..thing }));
        }
        for id in thing.on.iter().filter(|_| thing.firm) {
            match self.things.get(id) {
                None => {
                    let message = format!("`{id}`, which `{}` needs, is not there", thing.name);
                    return Err(refused(ErrorClass::Permanent, "NotFound", message));
                }
                Some(other) if !other.is_ready() => {
                    return Err(refused(ErrorClass::Busy, "NotReady", format!("`{id}` is not ready")));
                }
                Some(_) => {}
            }
        }
        thing.id = match thing.kind {
            Kind::Shelf | Kind::Chest => {
                self.ids += 1;
                format!("{:?}-{}", thing.kind, self.ids).to_lowercase()
            }
            Kind::Door | Kind::Sign | Kind::Dial => thing.name.clone(),
        };
        if self.things.contains_key(&thing.id) {
            return Err(refused(ErrorClass::AlreadyExists, "Exists", format!("`{}` exists", thing.id)));
        }
        if thing.kind == Kind::Shelf {
            thing.phase = Phase::Pending(Some(now + SLOW));
        }
        if let Some(token) = token {
            Arc::make_mut(&mut self.tokens).insert(token.to_owned(), thing.id.clone());
        }
        self.change(now, |things| things.insert(thing.id.clone(), thing.clone()));
        Ok(thing)
    }

    fn on_shelf(
        &mut self,
        id: &str,
        now: Now,
        change: impl FnOnce(&mut Thing) -> OpResult<()>,
    ) -> OpResult<Vec<Thing>> {
        match self.things.get(id) {
            Some(shelf) if !shelf.is_ending() => {
                let mut shelf = shelf.clone();
                change(&mut shelf)?;
                self.change(now, |things| things.insert(id.to_owned(), shelf));
                Ok(Vec::new())
            }
            _ => Err(refused(ErrorClass::Busy, "NotFound", format!("there is no shelf `{id}`"))),
        }
    }

    fn delete(
        &mut self,
        kind: Kind,
        id: &str,
        only: Option<&str>,
        step: Option<String>,
        now: Now,
    ) -> OpResult<Vec<Thing>> {
        let Some(thing) = self.things.get(id).filter(|thing| thing.kind == kind) else {
            return Err(refused(ErrorClass::Permanent, "NotFound", format!("`{id}` is not there")));
        };
        if thing.is_ending() {
            return Ok(vec![thing.clone()]);
        }
        if let Some(other) = self.things.values().find(|other| other.on.iter().any(|on| on == id)) {
            let message = format!("`{id}` cannot be deleted: the {:?} `{}` needs it", other.kind, other.name);
            return Err(refused(ErrorClass::Busy, "InUse", message.to_lowercase()));
        }
        if only.is_some_and(|only| only != thing.value) {
            return Err(refused(ErrorClass::Drift, "ConditionFailed", format!("`{id}` says `{}`", thing.value)));
        }
        let gone = thing.clone();
        if kind == Kind::Sign && gone.truth.was.is_some() {
            self.lost.insert(id.to_owned(), step.unwrap_or_default());
        }
        self.change(now, |things| match things.get_mut(id) {
            Some(shelf) if kind == Kind::Shelf => shelf.phase = Phase::Ending(Some(now + SLOW)),
            _ => {
                things.remove(id);
            }
        });
        Ok(vec![gone])
    }

    /// What was just made, or is going, stays as it is until somebody mends it.
    pub(super) fn stick(&mut self, id: &str, now: Now) {
        self.change(now, |things| {
            if let Some(thing) = things.get_mut(id) {
                thing.phase = match thing.phase {
                    Phase::Pending(_) => Phase::Pending(None),
                    Phase::Ending(_) => Phase::Ending(None),
                    Phase::Ready => Phase::Ready,
                };
            }
        });
    }

    /// Somebody else changes the thing, or deletes it where nothing needs it.
    pub(super) fn meddle(&mut self, id: &str, delete: bool, now: Now) {
        let needed = self.things.values().any(|other| other.on.iter().any(|on| on == id));
        self.change(now, |things| {
            if delete && !needed {
                things.remove(id);
                return;
            }
            let Some(thing) = things.get_mut(id).filter(|_| !delete) else { return };
            let was = Box::new(thing.clone());
            thing.value = SOMEBODY_ELSE.to_owned();
            if thing.kind == Kind::Dial {
                thing.tags = [("by".to_owned(), thing.value.clone())].into();
                thing.truth.theirs.clone_from(&thing.value);
                thing.truth.unseen = true;
            }
            if thing.kind == Kind::Sign {
                // It says something else: it is another's.
                thing.truth.by = None;
            }
            thing.truth.was = Some(was);
        });
    }

    /// A person lets go on what is stuck, and puts back what somebody else changed and nobody since.
    pub(super) fn mend(&mut self, now: Now) {
        self.change(now, |things| {
            for thing in things.values_mut() {
                match thing.phase {
                    Phase::Pending(None) => thing.phase = Phase::Pending(Some(now)),
                    Phase::Ending(None) => thing.phase = Phase::Ending(Some(now)),
                    _ => {}
                }
                if let Some(was) = thing.truth.was.take()
                    && thing.value == SOMEBODY_ELSE
                {
                    (thing.value, thing.tags, thing.truth) = (was.value, was.tags, was.truth);
                }
            }
        });
    }
}

/// What a read of these things sees.
pub(super) fn read(things: &Things, ask: &Ask) -> Vec<Thing> {
    let wanted = |thing: &&Thing| match ask {
        Ask::Get(kind) => thing.kind == *kind,
        Ask::GetTagged => matches!(thing.kind, Kind::Shelf | Kind::Chest | Kind::Door),
        _ => false,
    };
    things.values().filter(wanted).cloned().collect()
}
