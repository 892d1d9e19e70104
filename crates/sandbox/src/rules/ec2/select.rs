//! What all describe calls share: filters, ids, pages, and how tags are written.

use crate::query::{Filter, Params, Tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

/// The filters of one describe call.
pub(super) struct Filters(Vec<Filter>);

impl Filters {
    /// Reads them. A name that this call does not know is refused.
    pub(super) fn of(params: &Params, known: &[&str]) -> Result<Self, Refusal> {
        let filters = params.filters();
        for Filter { name, .. } in &filters {
            if !known.contains(&name.as_str()) {
                return Err(Refusal::invalid(format!("The filter '{name}' is invalid")));
            }
        }
        Ok(Self(filters))
    }

    /// Reads them for a call whose results have tags.
    pub(super) fn with_tags(params: &Params, known: &[&str]) -> Result<Self, Refusal> {
        let filters = params.filters();
        for Filter { name, .. } in &filters {
            if !known.contains(&name.as_str()) && name != "tag-key" && !name.starts_with("tag:") {
                return Err(Refusal::invalid(format!("The filter '{name}' is invalid")));
            }
        }
        Ok(Self(filters))
    }

    /// Whether all filters let this one through. `field` gives the values of it that a filter name stands for.
    pub(super) fn pick(&self, tags: &Tags, field: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|filter| {
            let any = |value: &str| filter.values.iter().any(|pattern| fits(pattern, value));
            match filter.name.strip_prefix("tag:") {
                Some(key) => tags.get(key).is_some_and(|value| any(value)),
                None if filter.name == "tag-key" => tags.keys().any(|key| any(key)),
                None => field(&filter.name).iter().any(|value| any(value)),
            }
        })
    }
}

/// `*` stands for any text, `?` for any character, a backslash takes their meaning away.
fn fits(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = rest.as_str();
            text.char_indices().any(|(at, _)| fits(rest, &text[at..])) || fits(rest, "")
        }
        Some(first) => {
            let literal = if first == '\\' { rest.next().unwrap_or('\\') } else { first };
            let mut text = text.chars();
            let fits_here = text.next().is_some_and(|is| is == literal || (first == '?'));
            fits_here && fits(rest.as_str(), text.as_str())
        }
    }
}

/// One page of the results, and the token of the next.
pub(super) fn page<T>(params: &Params, ids: &[&str], mut all: Vec<T>) -> Result<(Vec<T>, Option<String>), Refusal> {
    let Some(size) = params.number("MaxResults")? else {
        return match params.get("NextToken") {
            None | Some("") => Ok((all, None)),
            Some(token) => Ok((all.split_off(start_of(token, all.len())?), None)),
        };
    };
    if !ids.is_empty() {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "The parameter maxResults cannot be used with a list of ids",
        ));
    }
    let size = usize::try_from(size).unwrap_or(0);
    if !(5..=1000).contains(&size) {
        let why = if size < 5 { "Expecting a value greater than 5." } else { "Expecting a value less than 1000." };
        return Err(Refusal::invalid(format!("Value ( {size} ) for parameter maxResults is invalid. {why}")));
    }
    let start = match params.get("NextToken") {
        None | Some("") => 0,
        Some(token) => start_of(token, all.len())?,
    };
    let mut rest = all.split_off(start);
    let next = (rest.len() > size).then(|| format!("page-{}", start + size));
    rest.truncate(size);
    Ok((rest, next))
}

fn start_of(token: &str, count: usize) -> Result<usize, Refusal> {
    token
        .strip_prefix("page-")
        .and_then(|start| start.parse().ok())
        .filter(|start| *start <= count)
        .ok_or_else(|| Refusal::new("InvalidNextToken", format!("The token '{token}' is invalid")))
}

/// `tagSet`.
pub(super) fn write_tags(xml: &mut Xml, tags: &Tags) {
    xml.set("tagSet", tags, |xml, (key, value)| {
        xml.leaf("key", key);
        xml.leaf("value", value);
    });
}

/// The reply of calls that only say that it was done.
pub(super) fn done() -> String {
    "<return>true</return>".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_ec2_says() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "ABC", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?", "a", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("*mister*", "the mister smith", true),
            ("é*", "éa", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let all: Vec<u32> = (0..12).collect();
        let first = Params::call("X").with("MaxResults", "5");
        let (page_1, next) = page(&first, &[], all.clone()).unwrap();
        assert_eq!((page_1.len(), next.as_deref()), (5, Some("page-5")));
        let last = first.with("NextToken", "page-10");
        let (page_3, next) = page(&last, &[], all.clone()).unwrap();
        assert_eq!((page_3, next), (vec![10, 11], None));
        assert_eq!(page(&last.with("NextToken", "x"), &[], all).unwrap_err().code, "InvalidNextToken");
    }
}
