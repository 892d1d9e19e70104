//! What the calls of RDS share: the form of identifiers, passwords, windows and tags, filters and pages.
//!
//! Nothing here looks at the world.

use crate::query::{Params, Tags, check_tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

/// Minutes of a day.
const DAY: u32 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// An identifier of a cluster, instance, snapshot or parameter group: RDS stores it in lower case.
pub(super) fn identifier(params: &Params, parameter: &str) -> Result<String, Refusal> {
    check_identifier(params.required(parameter)?, parameter, 63)
}

/// The same with a limit of its own.
pub(super) fn check_identifier(text: &str, parameter: &str, most: usize) -> Result<String, Refusal> {
    let is_well_formed = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-')
        && !text.ends_with('-')
        && !text.contains("--");
    if !is_well_formed {
        return Err(Refusal::invalid(format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain \
             only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive \
             hyphens."
        )));
    }
    if text.len() > most {
        return Err(Refusal::invalid(format!(
            "The parameter {parameter} is not a valid identifier because it is longer than {most} characters."
        )));
    }
    Ok(text.to_ascii_lowercase())
}

/// What an existing thing is called by: its identifier or its ARN, in any case.
pub(super) fn named(params: &Params, parameter: &str) -> Result<String, Refusal> {
    Ok(name_in(params.required(parameter)?))
}

/// The name at the end of an ARN; a name is itself.
pub(super) fn name_in(text: &str) -> String {
    let name = if text.starts_with("arn:") { text.rsplit(':').next().unwrap_or_default() } else { text };
    name.to_ascii_lowercase()
}

/// Checks a password that a caller sets. The refusal says what is wrong with it, and nothing of it.
pub(super) fn check_password(password: &str, most: usize) -> Result<(), Refusal> {
    let refuse =
        |why: &str| Err(Refusal::invalid(format!("The parameter MasterUserPassword is not a valid password{why}")));
    if password.len() < 8 {
        return refuse(" because it is shorter than 8 characters.");
    }
    if password.len() > most {
        return refuse(&format!(" because it is longer than {most} characters."));
    }
    if password.bytes().any(|letter| !letter.is_ascii_graphic() || matches!(letter, b'/' | b'@' | b'"')) {
        return refuse(". Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.");
    }
    Ok(())
}

/// Who the master user is and how they sign in. The password is checked and then forgotten; true when AWS makes and
/// keeps it.
pub(super) fn master(params: &Params, most: usize) -> Result<(String, bool), Refusal> {
    let managed = params.flag("ManageMasterUserPassword")? == Some(true);
    let blank = |name: &str| Refusal::invalid(format!("The parameter {name} must be provided and must not be blank."));
    let name = params.get("MasterUsername").filter(|name| !name.is_empty()).ok_or_else(|| blank("MasterUsername"))?;
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    if !is_word || name.len() > 63 {
        return Err(Refusal::invalid("The parameter MasterUsername is not a valid user name"));
    }
    if ["admin", "rdsadmin", "rds_superuser"].contains(&name) {
        return Err(Refusal::invalid(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    match params.get("MasterUserPassword") {
        Some(_) if managed => Err(Refusal::new(
            "InvalidParameterCombination",
            "You can't specify MasterUserPassword when ManageMasterUserPassword is enabled.",
        )),
        None | Some("") if !managed => Err(blank("MasterUserPassword")),
        Some(password) => check_password(password, most).map(|()| (name.to_owned(), managed)),
        None => Ok((name.to_owned(), managed)),
    }
}

/// The name of the first database.
pub(super) fn database(params: &Params, parameter: &str) -> Result<Option<String>, Refusal> {
    let Some(name) = params.get(parameter) else { return Ok(None) };
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    if !is_word || name.len() > 63 {
        return Err(Refusal::invalid(format!(
            "{parameter} must begin with a letter and contain only alphanumeric characters."
        )));
    }
    Ok(Some(name.to_owned()))
}

/// A number that must lie in a range.
pub(super) fn number_in(params: &Params, parameter: &str, from: i32, to: i32) -> Result<Option<i32>, Refusal> {
    let number = params.number(parameter)?;
    match number {
        Some(number) if !(from..=to).contains(&number) => {
            Err(Refusal::invalid(format!("Invalid value for {parameter}: {number}. Must be between {from} and {to}")))
        }
        _ => Ok(number),
    }
}

/// Minutes from the start of the week; `None` when it is no window of this kind.
fn minutes(text: &str, with_day: bool) -> Option<(u32, u32)> {
    let clock = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let two = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 2);
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    let moment = |text: &str| {
        if !with_day {
            return clock(text);
        }
        let (day, rest) = text.split_once(':')?;
        let day = DAYS.iter().position(|known| known.eq_ignore_ascii_case(day))?;
        Some(u32::try_from(day).ok()? * DAY + clock(rest)?)
    };
    let (from, to) = text.split_once('-')?;
    let (from, to) = (moment(from)?, moment(to)?);
    let length = (if with_day { 7 * DAY } else { DAY } + to - from) % if with_day { 7 * DAY } else { DAY };
    (length >= 30).then_some((from, from + length))
}

/// The windows for backups and for maintenance that apply from now on. What neither the caller nor `held` says, AWS
/// chooses.
pub(super) fn windows(params: &Params, held: Option<(&str, &str)>) -> Result<(String, String), Refusal> {
    const BACKUPS: [&str; 3] = ["03:30-04:00", "07:30-08:00", "20:30-21:00"];
    const MAINTENANCE: &str = "sun:05:00-sun:05:30";
    let backup = given_window(params, "PreferredBackupWindow", false)?.or(held.map(|(backup, _)| backup));
    let maintenance = given_window(params, "PreferredMaintenanceWindow", true)?.or(held.map(|(_, window)| window));
    let maintenance = maintenance.unwrap_or(MAINTENANCE);
    let backup = match backup {
        Some(backup) if overlap(backup, maintenance) => {
            return Err(Refusal::invalid("The backup window and maintenance window must not overlap."));
        }
        Some(backup) => backup,
        None => BACKUPS.into_iter().find(|backup| !overlap(backup, maintenance)).unwrap_or(BACKUPS[0]),
    };
    Ok((backup.to_owned(), maintenance.to_ascii_lowercase()))
}

fn given_window<'a>(params: &'a Params, parameter: &str, with_day: bool) -> Result<Option<&'a str>, Refusal> {
    let Some(text) = params.get(parameter) else { return Ok(None) };
    if minutes(text, with_day).is_none() {
        let form = if with_day { "ddd:hh24:mi-ddd:hh24:mi" } else { "hh24:mi-hh24:mi" };
        return Err(Refusal::invalid(format!(
            "Invalid value for {parameter}: {text}. It must be in the format {form} and at least 30 minutes long."
        )));
    }
    Ok(Some(text))
}

fn overlap(backup: &str, maintenance: &str) -> bool {
    let (Some((from, to)), Some((start, end))) = (minutes(backup, false), minutes(maintenance, true)) else {
        return false;
    };
    // The daily window of the week and of the days around it.
    (0..9).any(|day| {
        let at = |minute: u32| (minute + day * DAY) as i64 - i64::from(DAY);
        at(from) < i64::from(end) && i64::from(start) < at(to)
    })
}

/// The tags that a create call gives.
pub(super) fn tags(params: &Params) -> Result<Tags, Refusal> {
    let pairs = params.tag_pairs("Tags.Tag");
    let tags: Tags =
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.unwrap_or_default().to_owned())).collect();
    check_tags(&tags)?;
    Ok(tags)
}

/// The same call with these tags.
pub(super) fn with_tags(mut call: Params, tags: &Tags) -> Params {
    for (n, (key, value)) in (1..).zip(tags) {
        call = call.with(format!("Tags.Tag.{n}.Key"), key).with(format!("Tags.Tag.{n}.Value"), value);
    }
    call
}

/// `Filters` of a describe call; a name that is not among `known` is refused.
pub(super) fn filters(params: &Params, known: &[&str]) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let mut filters = Vec::new();
    for n in 1.. {
        let Some(name) = params.get(&format!("Filters.Filter.{n}.Name")) else { break };
        if !known.contains(&name) {
            return Err(Refusal::invalid(format!("Unrecognized filter name: {name}")));
        }
        let values = params.list(&format!("Filters.Filter.{n}.Values.Value"));
        filters.push((name.to_owned(), values.into_iter().map(str::to_owned).collect()));
    }
    Ok(filters)
}

/// Whether all filters let this one through. `field` gives what a filter's name stands for.
pub(super) fn pick(filters: &[(String, Vec<String>)], field: impl Fn(&str) -> String) -> bool {
    filters.iter().all(|(name, values)| {
        let value = field(name);
        // A name may be given as an ARN.
        values.iter().any(|wanted| *wanted == value || name_in(wanted) == value)
    })
}

/// One page of the results, and the marker of the next.
pub(super) fn page<T>(params: &Params, mut all: Vec<T>) -> Result<(Vec<T>, Option<String>), Refusal> {
    let size = params.number("MaxRecords")?.unwrap_or(100);
    let size = usize::try_from(size)
        .ok()
        .filter(|size| (20..=100).contains(size))
        .ok_or_else(|| Refusal::invalid(format!("Invalid value {size} for MaxRecords. Must be between 20 and 100")))?;
    let start = match params.get("Marker") {
        None | Some("") => 0,
        Some(marker) => marker
            .strip_prefix("page-")
            .and_then(|start| start.parse().ok())
            .filter(|start| *start <= all.len())
            .ok_or_else(|| Refusal::invalid("The marker is not valid"))?,
    };
    let mut rest = all.split_off(start);
    let next = (rest.len() > size).then(|| format!("page-{}", start + size));
    rest.truncate(size);
    Ok((rest, next))
}

/// `<name><member>..</member>..</name>`.
pub(super) fn list<T>(
    xml: &mut Xml,
    (name, member): (&str, &str),
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut Xml, T),
) {
    xml.tag(name, |xml| {
        for item in items {
            xml.tag(member, |xml| each(xml, item));
        }
    });
}

/// A list of plain values.
pub(super) fn texts<T: std::fmt::Display>(
    xml: &mut Xml,
    (name, member): (&str, &str),
    items: impl IntoIterator<Item = T>,
) {
    xml.tag(name, |xml| {
        for item in items {
            xml.leaf(member, item);
        }
    });
}

/// `TagList`, as describe calls write it.
pub(super) fn write_tags(xml: &mut Xml, tags: &Tags) {
    list(xml, ("TagList", "Tag"), tags, |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked_and_lowered() {
        assert_eq!(check_identifier("My-Cluster1", "X", 63).unwrap(), "my-cluster1");
        for bad in ["1a", "-a", "a-", "a--b", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert_eq!(check_identifier(bad, "X", 63).unwrap_err().code, "InvalidParameterValue", "{bad}");
        }
        assert_eq!(name_in("arn:aws:rds:us-east-1:123456789012:cluster:One"), "one");
    }

    #[test]
    fn a_refused_password_is_not_repeated() {
        for bad in ["sevench", "has/slash", "has@at-sign", "has\"quote", "has a space", "umläutig", &"x".repeat(42)] {
            let refusal = check_password(bad, 41).unwrap_err();
            assert_eq!(refusal.code, "InvalidParameterValue");
            assert!(!refusal.message.contains(bad), "{}", refusal.message);
        }
        check_password("eight!#$", 41).unwrap();
    }

    #[test]
    fn windows_have_a_form_and_do_not_overlap() {
        let given = |backup: &str, maintenance: &str| {
            let params = Params::call("X").with("PreferredBackupWindow", backup);
            windows(&params.with("PreferredMaintenanceWindow", maintenance), None)
        };
        assert_eq!(given("03:00-04:00", "sun:04:00-sun:05:00").unwrap().1, "sun:04:00-sun:05:00");
        for (backup, maintenance) in [
            ("03:00-04:01", "sun:04:00-sun:05:00"),
            ("23:30-00:30", "mon:00:00-mon:01:00"),
            ("00:15-00:45", "sun:23:50-mon:00:20"),
            ("3:00-04:00", "sun:05:00-sun:06:00"),
            ("03:00-03:20", "sun:05:00-sun:06:00"),
            ("03:00-25:00", "sun:05:00-sun:06:00"),
            ("03:00-04:00", "son:05:00-son:06:00"),
            ("03:00-04:00", "05:00-06:00"),
        ] {
            assert!(given(backup, maintenance).is_err(), "{backup} {maintenance}");
        }
        let chosen = Params::call("X").with("PreferredMaintenanceWindow", "tue:03:00-tue:05:00");
        assert_eq!(windows(&chosen, None).unwrap().0, "07:30-08:00");
    }

    #[test]
    fn pages_follow_each_other() {
        let all: Vec<u32> = (0..50).collect();
        let first = Params::call("X").with("MaxRecords", "20");
        let (page_1, next) = page(&first, all.clone()).unwrap();
        assert_eq!((page_1.len(), next.as_deref()), (20, Some("page-20")));
        let (page_3, next) = page(&first.clone().with("Marker", "page-40"), all.clone()).unwrap();
        assert_eq!((page_3.len(), next), (10, None));
        assert!(page(&first.with("Marker", "x"), all.clone()).is_err());
        assert!(page(&Params::call("X").with("MaxRecords", "5"), all).is_err());
    }
}
