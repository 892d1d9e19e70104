//! A length of time in parameters, written as everywhere in a runbook.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use switchback_engine::Cx;
use switchback_engine::runbook::parse_duration;
use switchback_model::OpResult;
use tokio::time::Instant;

/// The longest pause in a wait: then the time of day is looked at again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A length of time: `90s`, `5m`, `1h30m`. Not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    time: Duration,
}

impl Span {
    /// From what people write; none where it is no length of time.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let time = parse_duration(text).filter(|time| !time.is_zero())?;
        Some(Self { text: text.to_owned(), time })
    }

    /// Of so many seconds.
    #[must_use]
    pub fn seconds(seconds: u32) -> Self {
        Self { text: format!("{seconds}s"), time: Duration::from_secs(seconds.into()) }
    }

    /// How long it is.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no length of time; write `90s`, `5m` or `1h30m`"))
        })
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "examples": ["90s", "5m", "1h30m"],
        })
    }
}

/// A time that must pass, counted from a moment on record, so that a process that is started anew goes on with the
/// same wait. It is over when either clock says so: the time of day, which goes on while the machine sleeps, or the
/// clock of this process, which nobody can set.
#[derive(Debug)]
pub(crate) struct Window {
    until: Timestamp,
    at_latest: Instant,
}

impl Window {
    /// Of that length from that moment on.
    pub(crate) fn new(cx: &Cx, since: Timestamp, time: Duration) -> Self {
        let until = since.checked_add(time).unwrap_or(Timestamp::MAX);
        let left = Duration::try_from(until.duration_since(cx.now())).unwrap_or_default();
        Self { until, at_latest: Instant::now() + left.min(time) }
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self, cx: &Cx) -> bool {
        self.left(cx).is_zero()
    }

    /// How much of it is left.
    fn left(&self, cx: &Cx) -> Duration {
        let of_day = Duration::try_from(self.until.duration_since(cx.now())).unwrap_or_default();
        of_day.min(self.at_latest.saturating_duration_since(Instant::now()))
    }

    /// Waits for a part of it, `pause` at most, or, once it is over, for as long as that.
    ///
    /// # Errors
    /// Those of [`Cx::pause`].
    pub(crate) async fn pause(&self, cx: &Cx, waiting_for: &str, pause: Duration) -> OpResult<()> {
        let left = self.left(cx);
        let pause = pause.min(LONGEST_PAUSE);
        cx.pause(waiting_for, if left.is_zero() { pause } else { pause.min(left) }).await
    }

    /// Waits until it is over.
    ///
    /// # Errors
    /// Those of [`Cx::pause`].
    pub(crate) async fn outlast(&self, cx: &Cx, waiting_for: &str) -> OpResult<()> {
        while !self.is_over(cx) {
            self.pause(cx, waiting_for, LONGEST_PAUSE).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_length_of_time_is_read_as_in_a_runbook() {
        let span: Span = serde_json::from_value(json!("1h30m")).unwrap();
        assert_eq!((span.time(), serde_json::to_value(&span).unwrap()), (Duration::from_secs(5400), json!("1h30m")));
        for bad in [json!("5"), json!("0s"), json!(""), json!(5), json!("-5m")] {
            assert!(serde_json::from_value::<Span>(bad).is_err());
        }
        assert_eq!(Span::seconds(90).to_string(), "90s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_is_over_when_either_clock_says_so() {
        let bench = Bench::default();
        let cx = bench.cx();
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        // The time of day stands still here.
        Window::new(&cx, cx.now(), hour).outlast(&cx, "waiting").await.unwrap();
        assert_eq!(start.elapsed(), hour);
        // A process that is started anew goes on with what is left.
        bench.pass(hour / 4);
        let window = Window::new(&cx, Timestamp::UNIX_EPOCH, hour);
        assert_eq!(window.left(&cx), hour * 3 / 4);
        bench.pass(hour);
        assert!(window.is_over(&cx));
        // A clock that was set back does not make it longer.
        let later = Timestamp::UNIX_EPOCH + hour * 100;
        assert_eq!(Window::new(&cx, later, hour).left(&cx), hour);
    }
}
