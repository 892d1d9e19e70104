//! The parameters of a call in the AWS query protocol, and the refusals that follow from their form alone.
//!
//! Knows nothing of the world: what a parameter *means* is the business of `rules`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::refusal::Refusal;

/// Tags of one resource.
pub(crate) type Tags = BTreeMap<String, String>;

/// The decoded form of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(BTreeMap<String, String>);

/// One `Filter.N` of a describe call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

impl Params {
    /// Reads a body in form encoding (spaces as `%20` or as `+`), and the query string, which some callers use.
    pub(crate) fn parse(query: Option<&str>, body: &[u8]) -> Self {
        let mut all = BTreeMap::new();
        for part in [query.unwrap_or_default().as_bytes(), body] {
            for (name, value) in form_urlencoded::parse(part) {
                all.insert(name.into_owned(), value.into_owned());
            }
        }
        Self(all)
    }

    /// Form-encodes it again, in a stable order.
    pub(crate) fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// A call of our own.
    pub(crate) fn call(action: &str) -> Self {
        Self(BTreeMap::from([("Action".to_owned(), action.to_owned())]))
    }

    /// With one parameter more.
    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// With these tags for the resource that it creates.
    pub(crate) fn with_tags(mut self, kind: &str, tags: &Tags) -> Self {
        if !tags.is_empty() {
            self = self.with("TagSpecification.1.ResourceType", kind);
        }
        for (n, (key, value)) in (1..).zip(tags) {
            self = self.with(format!("TagSpecification.1.Tag.{n}.Key"), key);
            self = self.with(format!("TagSpecification.1.Tag.{n}.Value"), value);
        }
        self
    }

    /// A copy without these parameters.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).map(clone_pair).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// A parameter that must be there and not be empty.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| Refusal::missing(name))
    }

    /// A boolean parameter; absent is `None`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(Refusal::value(other, name, "Expecting a boolean.")),
        }
    }

    /// A whole number; absent is `None`.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i32>, Refusal> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| Refusal::value(text, name, "Expecting an integer.")))
            .transpose()
    }

    /// `PREFIX.1`, `PREFIX.2` and so on.
    pub(crate) fn list(&self, prefix: &str) -> Vec<&str> {
        let mut name = String::with_capacity(prefix.len() + 4);
        (1..)
            .map_while(|n| {
                name.clear();
                let _ = write!(name, "{prefix}.{n}");
                self.get(&name)
            })
            .collect()
    }

    /// Whether any parameter has this value.
    pub(crate) fn has_value(&self, value: &str) -> bool {
        self.0.values().any(|held| held == value)
    }

    /// Every value, with the last part of its parameter's name that is not a number.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| {
            let is_word = |part: &&str| !part.bytes().all(|digit| digit.is_ascii_digit());
            (name.rsplit('.').find(is_word).unwrap_or(name), value.as_str())
        })
    }

    /// Whether any parameter starts with this.
    pub(crate) fn any(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// The filters of a describe call.
    pub(crate) fn filters(&self) -> Vec<Filter> {
        (1..)
            .map_while(|n| {
                let name = self.get(&format!("Filter.{n}.Name"))?.to_owned();
                let values = self.list(&format!("Filter.{n}.Value")).into_iter().map(str::to_owned).collect();
                Some(Filter { name, values })
            })
            .collect()
    }

    /// The tags that a create call gives to a resource of this type.
    pub(crate) fn tags_for(&self, kind: &str) -> Result<Tags, Refusal> {
        let mut tags = Tags::new();
        for n in 1.. {
            let prefix = format!("TagSpecification.{n}");
            if !self.any(&format!("{prefix}.")) {
                break;
            }
            let given = self.get(&format!("{prefix}.ResourceType")).unwrap_or_default();
            if given != kind {
                return Err(Refusal::new(
                    "InvalidParameterValue",
                    format!("'{given}' is not a valid taggable resource type for this operation."),
                ));
            }
            let pairs = self.tag_pairs(&format!("{prefix}.Tag"));
            if pairs.is_empty() {
                return Err(Refusal::new("InvalidParameterValue", "Tag specification must have at least one tag"));
            }
            for (key, value) in pairs {
                if tags.insert(key.to_owned(), value.unwrap_or_default().to_owned()).is_some() {
                    return Err(Refusal::new("InvalidParameterValue", format!("Duplicate tag key '{key}' specified.")));
                }
            }
        }
        check_tags(&tags)?;
        Ok(tags)
    }

    /// `PREFIX.N.Key` with `PREFIX.N.Value`, where there is one.
    pub(crate) fn tag_pairs(&self, prefix: &str) -> Vec<(&str, Option<&str>)> {
        (1..)
            .map_while(|n| {
                let key = self.get(&format!("{prefix}.{n}.Key"))?;
                Some((key, self.get(&format!("{prefix}.{n}.Value"))))
            })
            .collect()
    }

    /// The last check of every write: everything was in order, and nothing may happen.
    pub(crate) fn stop_if_dry_run(&self) -> Result<(), Refusal> {
        if self.flag("DryRun")? == Some(true) { Err(Refusal::dry_run()) } else { Ok(()) }
    }
}

fn clone_pair((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// What AWS asks of tags that a caller sets.
pub(crate) fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    for (key, value) in tags {
        let problem = if key.is_empty() {
            "Tag key must not be empty".to_owned()
        } else if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            "Tag keys starting with 'aws:' are reserved for internal use".to_owned()
        } else if key.chars().count() > 128 {
            "Tag key exceeds the maximum length of 128 characters".to_owned()
        } else if value.chars().count() > 256 {
            "Tag value exceeds the maximum length of 256 characters".to_owned()
        } else {
            continue;
        };
        return Err(Refusal::new("InvalidParameterValue", problem));
    }
    check_tag_count(tags.len())
}

/// No resource has more than 50 tags.
pub(crate) fn check_tag_count(count: usize) -> Result<(), Refusal> {
    if count > 50 {
        return Err(Refusal::new("TagLimitExceeded", "The maximum number of Tags for a resource has been reached."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_of_a_space_are_read() {
        let params = Params::parse(None, b"Action=CreateTags&A=x%20y&B=x+y");
        assert_eq!(params.action(), "CreateTags");
        assert_eq!((params.get("A"), params.get("B")), (Some("x y"), Some("x y")));
        assert_eq!(Params::parse(None, params.encode().as_bytes()), params);
    }

    #[test]
    fn lists_and_filters_are_numbered_from_one() {
        let params = Params::parse(None, b"Id.1=a&Id.2=b&Id.4=d&Filter.1.Name=x&Filter.1.Value.1=1&Filter.1.Value.2=2");
        assert_eq!(params.list("Id"), ["a", "b"]);
        assert_eq!(params.filters(), [Filter { name: "x".into(), values: vec!["1".into(), "2".into()] }]);
    }

    #[test]
    fn tags_of_another_type_are_refused() {
        let params = Params::parse(
            None,
            b"TagSpecification.1.ResourceType=subnet&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b",
        );
        assert_eq!(params.tags_for("vpc").unwrap_err().code, "InvalidParameterValue");
        assert_eq!(params.tags_for("subnet").unwrap()["a"], "b");
    }

    #[test]
    fn bad_tags_are_refused() {
        for (key, value, code) in [
            ("aws:x".to_owned(), String::new(), "InvalidParameterValue"),
            ("k".repeat(129), String::new(), "InvalidParameterValue"),
            ("k".to_owned(), "v".repeat(257), "InvalidParameterValue"),
        ] {
            assert_eq!(check_tags(&Tags::from([(key, value)])).unwrap_err().code, code);
        }
        let many: Tags = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(check_tags(&many).unwrap_err().code, "TagLimitExceeded");
    }
}
