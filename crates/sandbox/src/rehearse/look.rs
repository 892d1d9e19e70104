//! The sandbox as a rehearsal looks at it: everything that exists, without ids that are made up anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::Value;
use switchback_model::RunId;
use switchback_rehearsal::world::{Look, Owner, Thing, tokens};

use super::cloud::Names;
use crate::report::{self, Reported, Resource};
use crate::rules::World as Places;
use crate::sandbox::Sandbox;

const RUN: &str = "switchback:run";
const STEP: &str = "switchback:step";
const GENERATION: &str = "switchback:generation";

/// What was seen last: what is as it was is not written down again.
#[derive(Default)]
pub(super) struct Memo {
    report: report::Memo,
    /// By their places in memory, where each is kept.
    seen: HashMap<usize, Seen>,
    ids: Names,
    ours: BTreeSet<String>,
}

/// A resource that was seen.
struct Seen {
    it: Arc<Reported>,
    called: String,
    thing: Option<Arc<Thing>>,
    /// The hashes of all words and values that may name something.
    words: HashSet<u64>,
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn add_words(value: &Value, words: &mut HashSet<u64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| add_words(item, words)),
        Value::Object(map) => map.values().for_each(|item| add_words(item, words)),
        Value::String(text) => {
            words.insert(hash(text));
            words.extend(tokens(text).map(|(_, word)| hash(word)));
        }
        _ => {}
    }
}

impl Seen {
    fn new(it: Arc<Reported>, run: &str) -> Self {
        let mut words = HashSet::new();
        it.resource.attributes.values().for_each(|value| add_words(value, &mut words));
        Self { called: called(&it.resource, run), it, thing: None, words }
    }
}

/// Everything that exists; what passes by itself is [`unsettled`].
pub(super) fn look(sandbox: &Sandbox, places: &Places, run: RunId, memo: &mut Memo) -> Look {
    let run = run.to_string();
    let resources = memo.report.resources(sandbox.settings(), places);
    let mut before = std::mem::take(&mut memo.seen);
    let (mut ids, mut ours) = (Names::with_capacity(resources.len()), BTreeSet::new());
    for it in resources {
        let place = Arc::as_ptr(&it) as usize;
        let seen = before.remove(&place).unwrap_or_else(|| Seen::new(it, &run));
        let resource = &seen.it.resource;
        if let Some(token) = token(&resource.id) {
            ids.insert(token.to_owned(), seen.called.clone());
        }
        if resource.tags.get(RUN).is_some_and(|of| *of == run) {
            ours.insert(resource.id.clone());
        }
        memo.seen.insert(place, seen);
    }
    // Whoever names one of these is another thing now.
    let renamed = ids.iter().filter(|(id, name)| memo.ids.get(*id) != Some(*name)).map(|(id, _)| id);
    let renamed = renamed.chain(memo.ids.keys().filter(|id| !ids.contains_key(*id)));
    let changed: Vec<u64> = renamed.chain(ours.symmetric_difference(&memo.ours)).map(|id| hash(id)).collect();
    let mut things = Vec::with_capacity(memo.seen.len());
    for seen in memo.seen.values_mut().filter(|seen| seen.it.residue || !seen.it.resource.default) {
        if changed.iter().any(|id| seen.words.contains(id)) {
            seen.thing = None;
        }
        let it = &seen.it;
        let make = || Arc::new(thing(&it.resource, &seen.called, it.residue, &run, &ids, &ours));
        things.push(Arc::clone(seen.thing.get_or_insert_with(make)));
    }
    things.sort();
    memo.ids.clone_from(&ids);
    memo.ours = ours;
    Look { things, unsettled: Vec::new(), ids }
}

fn thing(resource: &Resource, called: &str, residue: bool, run: &str, ids: &Names, ours: &BTreeSet<String>) -> Thing {
    let mut text = String::with_capacity(256);
    let place = [&resource.account, &resource.region].map(|at| at.as_deref().unwrap_or_default());
    let _ = write!(text, "{} {} ", place[0], place[1]);
    for (name, value) in resource.tags.iter().filter(|(name, _)| ![RUN, STEP, GENERATION].contains(&name.as_str())) {
        let _ = write!(text, "{name}={value:?} ");
    }
    for (name, value) in &resource.attributes {
        // Which address an interface gets depends on which of them came first.
        if resource.kind == "network-interface" && name == "address" {
            continue;
        }
        let _ = write!(text, "{name}=");
        write_value(value, ids, &mut text);
        text.push(' ');
    }
    let marked = resource.tags.get(RUN).is_some_and(|of| of == run);
    // What has no mark is whose that is that it hangs on, which an id made anew or an ARN that is a name may say.
    let names_ours = || resource.attributes.values().filter_map(Value::as_str).any(|id| ours.contains(id));
    let owner = if marked || (!resource.tags.contains_key(RUN) && (text.contains("‹our ") || names_ours())) {
        Owner::Ours
    } else {
        Owner::Foreign
    };
    Thing { name: called.to_owned(), text, owner, step: resource.tags.get(STEP).filter(|_| marked).cloned(), residue }
}

/// What a resource is called instead of by its id.
fn called(resource: &Resource, run: &str) -> String {
    let whose = if resource.tags.get(RUN).is_some_and(|of| of == run) { "our " } else { "" };
    let name = resource.tags.get(STEP).or_else(|| resource.tags.get("Name")).map(String::as_str);
    let name = name.or_else(|| resource.attributes.get("name").and_then(Value::as_str));
    let name = name.or_else(|| resource.id.starts_with("arn:").then_some(resource.id.as_str()));
    format!("‹{whose}{} {}›", resource.kind, name.unwrap_or("-"))
}

/// The part of an id that is made up anew; none where it says only what it is called.
fn token(id: &str) -> Option<&str> {
    // The number of a revision says nothing by itself.
    if !id.starts_with("arn:") || id.contains(":task-definition/") {
        return Some(id);
    }
    let last = id.rsplit([':', '/']).next()?;
    // A UUID; a task's; a load balancer's.
    let is_made_up = [16, 32, 36].contains(&last.len()) && last.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    // Ids of Cloud Map, and what AWS adds to the name of a secret.
    let of_cloud_map = id.contains(":servicediscovery:");
    (is_made_up || of_cloud_map || id.contains(":secret:")).then_some(last)
}

/// A value without ids; lists are in the order of what is in them.
fn write_value(value: &Value, ids: &Names, out: &mut String) {
    match value {
        Value::Array(items) => {
            let mut texts: Vec<String> = items
                .iter()
                .map(|item| {
                    let mut text = String::new();
                    write_value(item, ids, &mut text);
                    text
                })
                .collect();
            texts.sort();
            let _ = write!(out, "[{}]", texts.join(", "));
        }
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (name, value) in sorted {
                let _ = write!(out, "{name}: ");
                write_value(value, ids, out);
                out.push_str(", ");
            }
            out.push('}');
        }
        Value::String(text) => match ids.get(text) {
            Some(name) => out.push_str(name),
            None => switchback_rehearsal::world::rename(text, ids, out),
        },
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// What passes by itself: what is pending, what is being deleted, names that are blocked, calls that are still to land.
pub(super) fn unsettled(sandbox: &Sandbox, places: &Places, ids: &Names) -> Vec<String> {
    let now = sandbox.clock().now();
    let mut all = Vec::new();
    let mut say = |what: &str, id: &str| {
        let mut text = format!("{what} ");
        switchback_rehearsal::world::rename(id, ids, &mut text);
        all.push(text);
    };
    for local in places.values() {
        let notes = &local.notes;
        for id in &notes.stuck {
            say("stuck", id);
        }
        for (id, _) in notes.ready.iter().filter(|(_, at)| now < **at) {
            say("pending", id);
        }
        for (id, _) in notes.gone.iter().filter(|(_, at)| now < **at) {
            say("ending", id);
        }
        for (name, _) in notes.blocked.iter().filter(|(_, until)| now < **until) {
            say("blocked", name);
        }
    }
    // A dry run has no effect, whenever it lands.
    let late = sandbox.faults().late().into_iter().map(|late| late.text());
    for text in late.filter(|text| !text.split('&').any(|part| part == "DryRun=true")) {
        say("late", &text);
    }
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Picture;
    use crate::picture::ec2::{Ec2, Gateway, Vpc};
    use crate::place::Place;
    use crate::rules::Local;

    /// A gateway at a VPC, which may be gone or carry tags.
    fn places(vpc: Option<&[(&str, &str)]>) -> Places {
        let (id, mut ec2) = ("vpc-00000000000000001", Ec2::default());
        let gateway = Gateway { attached_to: vec![id.to_owned()], tags: BTreeMap::new() };
        ec2.gateways.insert("igw-00000000000000002".to_owned(), gateway);
        let tags = vpc.map(|tags| tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        ec2.vpcs.extend(tags.map(|tags| (id.to_owned(), Vpc { tags, ..Vpc::default() })));
        let picture = Picture { ec2: Arc::new(ec2), ..Picture::default() };
        let local = Local { picture: Arc::new(picture), ..Local::default() };
        Arc::new(BTreeMap::from([(Place::new("123456789012", "us-east-1"), local)]))
    }

    #[tokio::test]
    async fn what_is_remembered_is_what_would_be_seen_anew() {
        let (sandbox, run) = (Sandbox::builder().build(), RunId::new(uuid::Uuid::from_u128(7)));
        let ours = run.to_string();
        let ours: &[(&str, &str)] = &[(RUN, &ours), (STEP, "network")];
        let mut memo = Memo::default();
        let mut texts = BTreeSet::new();
        for vpc in [Some(ours), Some(&[][..]), None, Some(ours), Some(ours), None] {
            let places = places(vpc);
            let remembered = look(&sandbox, &places, run, &mut memo);
            assert_eq!(remembered, look(&sandbox, &places, run, &mut Memo::default()), "{vpc:?}");
            let gateway = remembered.things.iter().find(|thing| thing.name.contains("gateway")).unwrap();
            texts.insert((gateway.text.clone(), gateway.owner));
        }
        assert_eq!(texts.len(), 3, "the gateway is called by what its VPC is: {texts:?}");
    }
}
