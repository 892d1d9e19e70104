//! Durations as people write them: `90s`, `5m`, `1h30m`, `250ms`.

use std::time::Duration;

/// What a duration may look like, for error messages.
pub(crate) const EXPECTED: &str = "write a duration such as `90s`, `5m` or `1h30m`";

/// Reads whole hours, minutes, seconds and milliseconds, in that order and each at most once.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text;
    let mut next = 0;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_len = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_len)?;
        let index = UNITS.iter().position(|(name, _)| *name == unit).filter(|i| *i >= next)?;
        let (_, factor) = UNITS.get(index)?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        next = index + 1;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_nothing_else() {
        let secs = |s| Some(Duration::from_secs(s));
        assert_eq!(parse_duration("90s"), secs(90));
        assert_eq!(parse_duration("5m"), secs(300));
        assert_eq!(parse_duration("1h30m"), secs(5400));
        assert_eq!(parse_duration("1h30m5s"), secs(5405));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for bad in
            ["", "5", "m", "5 m", "5M", "30m1h", "5m5m", "-5m", "1.5h", "99999999999999999999s", "5000000000000000h"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
