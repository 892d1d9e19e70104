//! Limits that several kinds of RDS things share.

use switchback_engine::operation::ParamError;
use switchback_model::SecretRef;

use crate::ids::KmsKeyArn;

/// Minutes of a day and of a week.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
/// The shortest window, in minutes.
const SHORTEST_WINDOW: u32 = 30;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Letters, digits and single hyphens, a letter first, no hyphen last.
pub(super) fn identifier(text: &str, longest: usize, field: &str, errors: &mut Vec<ParamError>) {
    let fits = (1..=longest).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--");
    if !fits {
        let wanted = format!("1 to {longest} letters, digits and single hyphens, a letter first and no hyphen last");
        errors.push(ParamError::new(field, format!("{text:?} does not have {wanted}")));
    }
}

/// 1 to 255 printable ASCII characters.
pub(super) fn description(text: &str, field: &str, errors: &mut Vec<ParamError>) {
    if !(1..=255).contains(&text.len()) || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        errors.push(ParamError::new(field, "a description has 1 to 255 printable ASCII characters"));
    }
}

/// The first user: 1 to 63 letters, digits and underscores, a letter first.
pub(super) fn master_username(text: &str, errors: &mut Vec<ParamError>) {
    let fits = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        let message = format!("{text:?} does not have 1 to 63 letters, digits and underscores, a letter first");
        errors.push(ParamError::new("master_username", message));
    }
    if text.eq_ignore_ascii_case("rdsadmin") {
        errors.push(ParamError::new("master_username", "`rdsadmin` is RDS's own"));
    }
}

/// A database to begin with: 1 to 64 letters, digits and underscores, a letter first.
pub(super) fn database_name(text: &str, field: &str, errors: &mut Vec<ParamError>) {
    let fits = (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        let message = format!("{text:?} does not have 1 to 64 letters, digits and underscores, a letter first");
        errors.push(ParamError::new(field, message));
    }
}

/// The password of the first user: given, or RDS's own to manage; one of the two.
pub(super) fn password(
    given: Option<&SecretRef>,
    managed: Option<bool>,
    managed_key: Option<&KmsKeyArn>,
    errors: &mut Vec<ParamError>,
) {
    match (given.is_some(), managed == Some(true)) {
        (false, false) => {
            let message = "is needed, unless `manage_master_user_password` is true";
            errors.push(ParamError::new("master_user_password", message));
        }
        (true, true) => {
            let message = "cannot be given where `manage_master_user_password` is true";
            errors.push(ParamError::new("master_user_password", message));
        }
        _ => {}
    }
    if let Some(key) = managed_key {
        key.check("master_user_secret_kms_key_id", errors);
        if managed != Some(true) {
            let message = "is for the secret that `manage_master_user_password` makes";
            errors.push(ParamError::new("master_user_secret_kms_key_id", message));
        }
    }
}

/// A key is for storage that is encrypted.
pub(super) fn encryption(encrypted: Option<bool>, key: Option<&KmsKeyArn>, errors: &mut Vec<ParamError>) {
    let Some(key) = key else { return };
    key.check("kms_key_id", errors);
    if encrypted != Some(true) {
        errors.push(ParamError::new("kms_key_id", "needs `storage_encrypted: true`"));
    }
}

/// A number between two others.
pub(super) fn range(value: Option<i32>, least: i32, most: i32, field: &str, errors: &mut Vec<ParamError>) {
    if let Some(value) = value.filter(|v| !(least..=most).contains(v)) {
        errors.push(ParamError::new(field, format!("{value} is not between {least} and {most}")));
    }
}

/// The port of a database.
pub(super) fn port(port: Option<i32>, errors: &mut Vec<ParamError>) {
    range(port, 1150, 65535, "port", errors);
}

/// The two windows: of the right form, half an hour at least, and not at the same time.
pub(super) fn windows(backup: Option<&str>, maintenance: Option<&str>, errors: &mut Vec<ParamError>) {
    let daily = backup.and_then(|text| {
        let window = daily_window(text);
        if window.is_none() {
            let message = format!("{text:?} is not of the form `03:00-04:00` (UTC) and half an hour long at least");
            errors.push(ParamError::new("preferred_backup_window", message));
        }
        window
    });
    let weekly = maintenance.and_then(|text| {
        let window = weekly_window(text);
        if window.is_none() {
            let message =
                format!("{text:?} is not of the form `sun:04:00-sun:05:00` (UTC) and half an hour long at least");
            errors.push(ParamError::new("preferred_maintenance_window", message));
        }
        window
    });
    if let (Some(daily), Some(weekly)) = (daily, weekly)
        && (0..7).any(|day| overlap((daily.0 + day * DAY, daily.1), weekly))
    {
        let message = "is at the same time as `preferred_backup_window`";
        errors.push(ParamError::new("preferred_maintenance_window", message));
    }
}

/// Whether two windows of a week, each a start and a length, meet.
fn overlap(a: (u32, u32), b: (u32, u32)) -> bool {
    (b.0 + WEEK - a.0) % WEEK < a.1 || (a.0 + WEEK - b.0) % WEEK < b.1
}

/// `03:00-04:00` as start and length in minutes.
fn daily_window(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-')?;
    long_enough(time(from)?, time(to)?, DAY)
}

/// `sun:04:00-sun:05:00` as start and length in minutes.
fn weekly_window(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-')?;
    let at = |text: &str| {
        let (day, hours) = text.split_once(':')?;
        let day = DAYS.iter().position(|d| d.eq_ignore_ascii_case(day))?;
        Some(u32::try_from(day).ok()? * DAY + time(hours)?)
    };
    long_enough(at(from)?, at(to)?, WEEK)
}

fn long_enough(from: u32, to: u32, around: u32) -> Option<(u32, u32)> {
    let length = (to + around - from) % around;
    (length >= SHORTEST_WINDOW).then_some((from, length))
}

/// `03:00` in minutes.
fn time(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |t: &str, below: u32| {
        let digits = t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
        t.parse::<u32>().ok().filter(|n| digits && *n < below)
    };
    Some(two(hours, 24)? * 60 + two(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(check: impl FnOnce(&mut Vec<ParamError>)) -> Vec<String> {
        let mut errors = Vec::new();
        check(&mut errors);
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn identifiers_are_held_to_the_rules() {
        for (text, fine) in [
            ("mistersmith-aurora-cluster", true),
            ("A1", true),
            ("", false),
            ("1a", false),
            ("a-", false),
            ("a--b", false),
            ("a_b", false),
            ("größe", false),
        ] {
            assert_eq!(fields(|e| identifier(text, 63, "x", e)).is_empty(), fine, "{text}");
        }
        assert_eq!(fields(|e| identifier(&"a".repeat(64), 63, "x", e)), ["x"]);
    }

    #[test]
    fn a_password_is_given_or_managed() {
        let secret = SecretRef { source: "DB".into(), version: None, fingerprint: String::new() };
        let key = KmsKeyArn::new("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab");
        assert!(fields(|e| password(Some(&secret), None, None, e)).is_empty());
        assert!(fields(|e| password(None, Some(true), Some(&key), e)).is_empty());
        assert_eq!(fields(|e| password(None, Some(false), None, e)), ["master_user_password"]);
        assert_eq!(fields(|e| password(Some(&secret), Some(true), None, e)), ["master_user_password"]);
        assert_eq!(fields(|e| password(Some(&secret), None, Some(&key), e)), ["master_user_secret_kms_key_id"]);
        assert!(fields(|e| encryption(Some(true), Some(&key), e)).is_empty());
        assert_eq!(fields(|e| encryption(None, Some(&key), e)), ["kms_key_id"]);
        assert_eq!(fields(|e| master_username("rdsadmin", e)), ["master_username"]);
        assert_eq!(fields(|e| master_username("app-user", e)), ["master_username"]);
        assert!(fields(|e| master_username("mistersmith_admin", e)).is_empty());
    }

    #[test]
    fn windows_have_a_form_and_do_not_meet() {
        let wrong = |backup, maintenance| fields(|e| windows(backup, maintenance, e));
        assert!(wrong(Some("03:00-04:00"), Some("sun:04:00-sun:05:00")).is_empty());
        assert!(wrong(Some("23:45-00:15"), Some("Sun:23:00-Sun:23:45")).is_empty());
        for text in ["3:00-04:00", "03:00-03:29", "24:00-25:00", "03:00", "sun:03:00-sun:04:00", "+3:00-04:00"] {
            assert_eq!(wrong(Some(text), None), ["preferred_backup_window"], "{text}");
        }
        for text in ["04:00-05:00", "su:04:00-su:05:00", "sun:04:00-sun:04:10"] {
            assert_eq!(wrong(None, Some(text)), ["preferred_maintenance_window"], "{text}");
        }
        for (backup, maintenance) in [
            ("03:00-04:00", "sun:03:30-sun:04:30"),
            ("03:00-04:00", "sat:23:00-sun:03:10"),
            ("23:45-00:15", "sun:23:50-mon:01:00"),
            ("23:45-00:15", "mon:00:00-mon:01:00"),
        ] {
            assert_eq!(wrong(Some(backup), Some(maintenance)), ["preferred_maintenance_window"], "{maintenance}");
        }
    }

    #[test]
    fn ports_are_those_that_rds_takes() {
        assert!(fields(|e| port(Some(5432), e)).is_empty() && fields(|e| port(None, e)).is_empty());
        assert_eq!(fields(|e| port(Some(80), e)), ["port"]);
    }
}
