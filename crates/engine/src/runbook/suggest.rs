//! "Did you mean".

/// The known name that `given` most likely stands for.
pub(crate) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic in the length of the names; nobody misspells a name that long.
    if given.len() > 64 {
        return None;
    }
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance * 3 <= given.chars().count().max(name.chars().count()).max(3))
        .min_by_key(|(distance, name)| (*distance, *name))
        .map(|(_, name)| name)
}

/// "did you mean `cidr_block`?", or `otherwise`.
///
/// The most likely of the known names, as a question; `otherwise` where none is near.
pub fn did_you_mean<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    closest(given, known).map_or_else(otherwise, |name| format!("did you mean `{name}`?"))
}

/// `` `a`, `b` and `c` ``; long lists are cut.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 24;
    let mut names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    if names.len() > SHOWN {
        let more = names.len() - SHOWN;
        names.truncate(SHOWN);
        return format!("{} and {more} more", names.join(", "));
    }
    match names.pop() {
        None => "none".to_owned(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} and {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(closest("cidr_blok", ["cidr_block", "tags"]), Some("cidr_block"));
        assert_eq!(closest("aws.ec2.vcp", ["aws.ec2.vpc", "aws.ec2.subnet"]), Some("aws.ec2.vpc"));
        assert_eq!(closest("colour", ["cidr_block", "tags"]), None);
        assert_eq!(closest("Vpc", ["vpc"]), Some("vpc"));
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(listed([]), "none");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
