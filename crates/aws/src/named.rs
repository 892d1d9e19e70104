//! What operations do alike on things that are addressed by a name that is unique in its scope, and
//! tagged: roles, clusters, repositories, log groups.
//!
//! The name says which thing is meant, the tags say whose it is. A name alone is never ownership: the
//! tags are read again right before each write ([`ours`]). That two creates cannot both happen is for
//! the service to see to, by refusing a name that is taken; where its create call succeeds on a name
//! that is there, `capture` has looked, the operation looks once more right before it calls, and then whether
//! the call gave back what carries its tags.

use std::future::Future;
use std::time::Duration;

use serde_json::{Map, Value};
use switchback_engine::{Cx, Found, Verdict};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::time::Instant;

use crate::calls::Absent;
use crate::context::AwsContext;
use crate::tags::{self, Tags};

/// The first pause between two looks at something that takes its time.
pub(crate) const POLL: Duration = Duration::from_millis(250);

/// A thing with a name and tags.
pub(crate) trait Named: Sized + Send + Sync {
    /// In words: `DB cluster`.
    const WHAT: &'static str;

    /// Reads the thing of that name, whoever made it, with its tags. What is listed although it is
    /// gone for every purpose (an `INACTIVE` cluster) is not there.
    fn read(cx: &Cx, name: &str) -> impl Future<Output = OpResult<Option<Self>>> + Send;
    /// Its tags.
    fn tags(&self) -> &Tags;
    /// What identifies it beside its name, for messages: an ARN, or an id that is not used again.
    fn id(&self) -> &str;
}

/// In words, with its owner where its tags say who that is.
pub(crate) fn described<N: Named>(cx: &Cx, name: &str, thing: &N) -> String {
    format!("{} `{name}` ({}){}", N::WHAT, thing.id(), tags::owner(cx, thing.tags()))
}

/// `capture`: nothing of that name may be there.
///
/// # Errors
/// Class `Foreign` when something is.
pub(crate) async fn capture<N: Named>(cx: &Cx, name: &str) -> OpResult<Absent> {
    match N::read(cx, name).await? {
        None => Ok(Absent {}),
        Some(thing) => Err(OpError::foreign(format!("{} is there already", described(cx, name, &thing)))
            .with_hint("leave the step out, or give it another name")),
    }
}

/// Right before a create call that succeeds where something of that name is there, and changes it or gives
/// it back: `capture` has looked, and this looks once more.
///
/// # Errors
/// Class `AlreadyExists` when something has that name by now; whose it is is then for `find` to say.
pub(crate) async fn still_absent<N: Named>(cx: &Cx, name: &str) -> OpResult<()> {
    match N::read(cx, name).await? {
        None => Ok(()),
        Some(thing) => {
            let message = format!("{} is there by now", described(cx, name, &thing));
            Err(OpError::new(ErrorClass::AlreadyExists, message))
        }
    }
}

/// Right after such a call: what it gave back carries the tags that it gave. Without them it may be what
/// another made between the look and the call, or a reply without tags.
///
/// # Errors
/// Class `AlreadyExists` when it does not; whose it is is then for `find` to say.
pub(crate) fn reply_is_ours<'a, N: Named>(
    cx: &Cx,
    name: &str,
    tags: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>,
) -> OpResult<()> {
    let tags = tags::read(tags);
    if tags::are_of_step(cx, &tags) {
        return Ok(());
    }
    let message = format!("the call gave back {} `{name}`{}, not seen to be ours", N::WHAT, tags::owner(cx, &tags));
    Err(OpError::new(ErrorClass::AlreadyExists, message))
}

/// Right before a delete: waits until `look` finds nothing more inside the thing. What a later step had in
/// it and has just removed may still be listed, so what is found is believed only after the quiet period.
///
/// # Errors
/// Class `Drift`, with what `look` found: it is not ours, and is never removed.
pub(crate) async fn emptied<N: Named, F>(cx: &Cx, name: &str, look: impl Fn() -> F + Send + Sync) -> OpResult<()>
where
    F: Future<Output = OpResult<Option<String>>> + Send,
{
    match patiently(cx, &format!("waiting until {} `{name}` is empty", N::WHAT), look, Option::is_none).await? {
        None => Ok(()),
        Some(inside) => {
            Err(OpError::drift(format!("{} `{name}` holds {inside}, which this step did not make", N::WHAT))
                .with_hint("move or remove it, and unwind again"))
        }
    }
}

/// `foresee`: nothing of that name may be there, where the parameter that gives the name is known.
///
/// # Errors
/// Class `Foreign` when something is.
pub(crate) async fn foresee<N: Named>(cx: &Cx, known: &Map<String, Value>, field: &str) -> OpResult<()> {
    match known.get(field).and_then(Value::as_str) {
        Some(name) => capture::<N>(cx, name).await.map(|_| ()),
        None => Ok(()),
    }
}

/// `find`: the tags of this step, run and generation make it ours; other tags, or none, another's.
///
/// # Errors
/// Those of the read.
pub(crate) async fn find<N: Named, O>(cx: &Cx, name: &str, output: impl FnOnce(&N) -> O) -> OpResult<Found<O>> {
    Ok(match N::read(cx, name).await? {
        None => Found::Absent,
        Some(thing) if tags::are_of_step(cx, thing.tags()) => {
            Found::Ours { output: output(&thing), proof: Proof::Strong }
        }
        Some(thing) => Found::Foreign { what: described(cx, name, &thing) },
    })
}

/// Right before a write: the thing of that name if it is ours, none if nothing is there.
///
/// # Errors
/// Class `Drift` when what has the name is not what this step made.
pub(crate) async fn ours<N: Named>(cx: &Cx, name: &str) -> OpResult<Option<N>> {
    unless_anothers(cx, name, N::read(cx, name).await?)
}

fn unless_anothers<N: Named>(cx: &Cx, name: &str, there: Option<N>) -> OpResult<Option<N>> {
    match there {
        Some(thing) if !tags::are_of_step(cx, thing.tags()) => {
            Err(OpError::drift(format!("{} is not what this step made", described(cx, name, &thing))))
        }
        there => Ok(there),
    }
}

/// Like [`ours`], of what must be there: made a moment ago, it may not be seen everywhere yet, nor its
/// tags where they are read by a call of their own. So absence, and that it is another's, are believed only
/// after the quiet period.
///
/// # Errors
/// Class `Drift` when it is gone, or is not what this step made.
pub(crate) async fn ours_there<N: Named>(cx: &Cx, name: &str) -> OpResult<N> {
    let is_ours = |found: &Option<N>| found.as_ref().is_some_and(|thing| tags::are_of_step(cx, thing.tags()));
    let waiting_for = format!("waiting until {} `{name}` can be seen", N::WHAT);
    let found = patiently(cx, &waiting_for, || N::read(cx, name), is_ours).await?;
    unless_anothers(cx, name, found)?.ok_or_else(|| OpError::drift(format!("{} `{name}` is no longer there", N::WHAT)))
}

/// What a step hangs on and did not make: it must be there, whoever made it. It may have been made a
/// moment ago, so absence is believed only after the quiet period.
///
/// # Errors
/// Class `Permanent` when it is not there.
pub(crate) async fn existing<N: Named>(cx: &Cx, name: &str) -> OpResult<N> {
    let aws = cx.get::<AwsContext>()?;
    let waiting_for = format!("waiting until {} `{name}` can be seen", N::WHAT);
    patiently(cx, &waiting_for, || N::read(cx, name), Option::is_some).await?.ok_or_else(|| {
        OpError::permanent(format!("there is no {} `{name}` in {}", N::WHAT, aws.region()))
            .with_code(OpError::NOT_THERE)
            .with_hint("check the name, the region and the account")
    })
}

/// Waits until it is in the state that `ready` wants, and returns what it reads out of it. `poll` is
/// the first pause; they grow to sixteen times it.
///
/// # Errors
/// What `ready` returns (a state that it cannot leave), class `Drift` when it is another's, and those
/// of the wait.
pub(crate) async fn wait_until<N: Named, T: Send>(
    cx: &Cx,
    name: &str,
    what: &str,
    poll: Duration,
    ready: impl Fn(&N) -> OpResult<Option<T>> + Send + Sync,
) -> OpResult<T> {
    let look = || async {
        match ours::<N>(cx, name).await? {
            Some(thing) => ready(&thing),
            None => Ok(None),
        }
    };
    cx.wait_for(&format!("waiting until {} `{name}` is {what}", N::WHAT), poll, look).await
}

/// Waits until what this step made is gone. Something else of that name, made meanwhile by somebody, is
/// not ours and counts as gone.
///
/// # Errors
/// Those of the wait.
pub(crate) async fn wait_until_gone<N: Named>(cx: &Cx, name: &str, poll: Duration) -> OpResult<()> {
    let look = || async {
        let there = N::read(cx, name).await?;
        Ok(there.is_none_or(|t| !tags::are_of_step(cx, t.tags())).then_some(()))
    };
    cx.wait_for(&format!("waiting until {} `{name}` is gone", N::WHAT), poll, look).await
}

/// Looks again and again until `fine` likes what it sees, and for no longer than the quiet period: then
/// what is seen is believed.
///
/// # Errors
/// Those of `look`, and of the wait.
pub async fn patiently<T, F, Fut>(
    cx: &Cx,
    waiting_for: &str,
    look: F,
    fine: impl Fn(&T) -> bool + Send + Sync,
) -> OpResult<T>
where
    T: Send,
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = OpResult<T>> + Send,
{
    let patience = Instant::now() + cx.get::<AwsContext>()?.quiet();
    let look = || async {
        let seen = look().await?;
        Ok((fine(&seen) || Instant::now() >= patience).then_some(seen))
    };
    cx.wait_for(waiting_for, POLL, look).await
}

/// `verify` of a thing that should be gone: nothing of that name carries this step's tags. Another's
/// thing of that name is no business of ours.
///
/// # Errors
/// Those of the read.
pub(crate) async fn verify_gone<N: Named>(cx: &Cx, name: &str) -> OpResult<Verdict> {
    let there = N::read(cx, name).await?.is_some_and(|t| tags::are_of_step(cx, t.tags()));
    Ok(Verdict::new().compare(format!("{} `{name}` of this step exists", N::WHAT), false, there))
}

/// The verdict on a thing that should be there and is not.
pub(crate) fn missing<N: Named>(name: &str) -> Verdict {
    Verdict::new().compare(format!("{} `{name}` exists", N::WHAT), true, false)
}

/// Begins the verdict on a thing that is there: that it is this step's, and carries the tags.
pub(crate) fn verdict<N: Named>(cx: &Cx, thing: &N, user: &Tags) -> Verdict {
    let wanted = tags::all(cx, user);
    Verdict::new().compare("exists", true, true).compare(
        "tags",
        serde_json::json!(wanted),
        serde_json::json!(tags::of_those(&wanted, thing.tags())),
    )
}
