//! Tags: the user's and ours, in one create call; and whose a thing is by them.
//!
//! Ownership tags are set by the create call itself, so there is no moment at which a thing that we
//! made does not say so. Every service has a type of its own for a tag; a service's module turns them
//! into [`Tags`] and back, and nothing else about tags is decided there.

use std::collections::BTreeMap;

use switchback_engine::Cx;
use switchback_engine::operation::ParamError;

/// AWS's limit on a resource's tags.
const MOST: usize = 50;
/// Run, step and generation.
const OURS: usize = 3;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The user's tags and ours together. Ours win.
pub(crate) fn all(cx: &Cx, user: &Tags) -> Tags {
    let mut tags = user.clone();
    tags.extend(cx.ownership_tags());
    tags
}

/// As a map, from a service's own type; a tag without a key is none.
pub(crate) fn read<'a>(pairs: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Tags {
    let pair = |(key, value): (Option<&str>, Option<&str>)| Some((key?.to_owned(), value.unwrap_or("").to_owned()));
    pairs.into_iter().filter_map(pair).collect()
}

/// Whether this step made it in this generation.
pub(crate) fn are_of_step(cx: &Cx, there: &Tags) -> bool {
    cx.ownership_tags().iter().all(|(key, value)| there.get(key) == Some(value))
}

/// Whether this run made it, in whichever step and generation.
pub(crate) fn are_of_run(cx: &Cx, there: &Tags) -> bool {
    let [(key, run), ..] = cx.ownership_tags();
    there.get(&key) == Some(&run)
}

/// Whose it is, for messages: ` (made by step vpc of run 0190...)`, or nothing.
pub(crate) fn owner(cx: &Cx, there: &Tags) -> String {
    let [(run, _), (step, _), _] = cx.ownership_tags();
    match there.get(&run) {
        Some(run) => format!(" (made by step {} of run {run})", there.get(&step).map_or("?", String::as_str)),
        None => String::new(),
    }
}

/// Those of `wanted` that are there, with the values that they have: what `verify` compares.
pub(crate) fn of_those(wanted: &Tags, there: &Tags) -> Tags {
    there.iter().filter(|(key, _)| wanted.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Holds the user's tags to AWS's rules.
pub(crate) fn check(tags: &Tags, errors: &mut Vec<ParamError>) {
    let mut wrong = |key: &str, message: String| {
        errors.push(ParamError { path: vec!["tags".to_owned(), key.to_owned()], message });
    };
    for (key, value) in tags {
        let length = key.chars().count();
        if !(1..=LONGEST_KEY).contains(&length) {
            wrong(key, format!("a key has 1 to {LONGEST_KEY} characters, this one has {length}"));
        }
        if value.chars().count() > LONGEST_VALUE {
            wrong(key, format!("a value has up to {LONGEST_VALUE} characters"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            wrong(key, "keys that begin with `aws:` are AWS's own".to_owned());
        }
        if key.starts_with("switchback:") {
            wrong(key, "keys that begin with `switchback:` say what a run made".to_owned());
        }
        for (what, text) in [("key", key), ("value", value)] {
            if let Some(c) = text.chars().find(|c| !c.is_alphanumeric() && !" _.:/=+-@".contains(*c)) {
                wrong(key, format!("the {what} holds {c:?}; AWS takes letters, digits, spaces and _ . : / = + - @"));
            }
        }
    }
    if tags.len() > MOST - OURS {
        let message = format!("there are {}; AWS takes {MOST}, and {OURS} are for ownership", tags.len());
        errors.push(ParamError::new("tags", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cx;

    fn errors_of(tags: &[(&str, &str)]) -> Vec<String> {
        let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut errors = Vec::new();
        check(&tags, &mut errors);
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn tags_are_held_to_the_rules() {
        assert!(errors_of(&[("Name", "MisterSmith-VPC"), ("a b", ""), ("größe", "1")]).is_empty());
        assert_eq!(errors_of(&[("aws:x", "")]), ["tags.aws:x"]);
        assert_eq!(errors_of(&[("switchback:run", "")]), ["tags.switchback:run"]);
        assert_eq!(errors_of(&[("", "")]), ["tags."]);
        assert_eq!(errors_of(&[("x", "a*b")]), ["tags.x"]);
        assert_eq!(errors_of(&[("x", &"v".repeat(257))]), ["tags.x"]);
        let many: Vec<_> = (0..48).map(|n| format!("k{n}")).collect();
        let many: Vec<_> = many.iter().map(|k| (k.as_str(), "v")).collect();
        assert_eq!(errors_of(&many), ["tags"]);
        assert!(errors_of(&many[1..]).is_empty());
    }

    #[tokio::test]
    async fn a_create_call_carries_both_and_ownership_reads_them_back() {
        let cx = cx("subnet[1a]", crate::AwsConfig::standard("us-east-1")).await;
        let user = Tags::from([("Name".to_owned(), "a".to_owned())]);
        let there = all(&cx, &user);
        assert_eq!(there["Name"], "a");
        assert_eq!(there["switchback:step"], "subnet/1a");
        assert_eq!(there["switchback:generation"], "1");
        assert!(are_of_step(&cx, &there) && are_of_run(&cx, &there));
        assert!(owner(&cx, &there).starts_with(" (made by step subnet/1a of run "));
        let mut other = there.clone();
        other.remove("switchback:generation");
        assert!(!are_of_step(&cx, &other) && are_of_run(&cx, &other));
        let none = Tags::new();
        assert!(!are_of_run(&cx, &none) && owner(&cx, &none).is_empty());
        assert_eq!(of_those(&user, &there), user);
        assert_eq!(read([(Some("a"), Some("b")), (None, Some("c")), (Some("d"), None)]).len(), 2);
    }
}
