//! The sandbox's own clock: how old a resource is, when a late effect lands, how far a read lags.
//!
//! It counts from the moment it was made, so that a snapshot of one sandbox means the same in another one.
//! It is read from `tokio::time::Instant`, and so follows tokio's paused clock; a manual clock stands still until
//! it is told to move. Nothing else in this crate may ask for the time of day, except for what people read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A point in the life of a sandbox, in microseconds since its clock was made. Negative after a restore of something
/// that was older than this sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(i64);

impl Moment {
    /// This moment, `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// This moment, `by` earlier.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }

    /// How long it is from `earlier` to this moment; zero when it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Milliseconds since the clock was made.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0 / 1000
    }

    /// What people read as the time of day: the sandbox has no calendar of its own, so that every run of it shows the
    /// same dates.
    pub(crate) fn date(self) -> jiff::Timestamp {
        const BEGINNING: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
        jiff::Timestamp::from_microsecond(self.0.saturating_add(BEGINNING)).unwrap_or_default()
    }

    /// The same age on a clock that reads `now`, when it was taken on one that read `then`.
    pub(crate) fn moved(self, then: Self, now: Self) -> Self {
        Self(self.0.saturating_add(now.0).saturating_sub(then.0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A clock that can be moved. Clones share it.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Instant,
    runs: bool,
    offset: watch::Sender<Duration>,
}

impl Clock {
    /// A clock that runs, with tokio's. It can be moved ahead as well.
    #[must_use]
    pub fn real() -> Self {
        Self::new(true)
    }

    /// A clock that moves only by [`Clock::advance`].
    #[must_use]
    pub fn manual() -> Self {
        Self::new(false)
    }

    fn new(runs: bool) -> Self {
        Self(Arc::new(Inner { origin: Instant::now(), runs, offset: watch::Sender::new(Duration::ZERO) }))
    }

    /// What this clock reads.
    #[must_use]
    pub fn now(&self) -> Moment {
        let ran = if self.0.runs { self.0.origin.elapsed() } else { Duration::ZERO };
        Moment::default().plus(ran).plus(*self.0.offset.borrow())
    }

    /// Moves the clock ahead, and wakes who waits for it.
    pub fn advance(&self, by: Duration) {
        self.0.offset.send_modify(|offset| *offset = offset.saturating_add(by));
    }

    /// Waits until the clock reads `until`. On a manual clock that takes an [`Clock::advance`].
    pub async fn wait_until(&self, until: Moment) {
        let mut moved = self.0.offset.subscribe();
        loop {
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            let was_moved = moved.changed();
            if self.0.runs {
                // Either the time is over or the clock was moved: look again.
                let _ = tokio::time::timeout(left, was_moved).await;
            } else if was_moved.await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_stands_until_it_is_moved() {
        let clock = Clock::manual();
        let start = clock.now();
        assert_eq!(start, clock.now());
        clock.advance(Duration::from_millis(7));
        assert_eq!(clock.now().since(start), Duration::from_millis(7));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_clock_is_moved() {
        let clock = Clock::manual();
        let until = clock.now().plus(Duration::from_secs(60));
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.wait_until(until).await }
        });
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1));
        waiting.await.unwrap();
    }
}
