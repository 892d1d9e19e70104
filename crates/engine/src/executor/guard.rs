//! Retries and circuit breakers: how often, how long, and when to stop asking a service.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use switchback_model::{ErrorClass, OpError};
use tokio::time::Instant;

/// Failures in a row that open a service's breaker.
pub(crate) const BREAKER_OPENS_AFTER: u32 = 5;
/// How long a breaker stays open before one call may try again.
pub(crate) const BREAKER_HALF_OPENS_AFTER: Duration = Duration::from_secs(60);

/// Exponential backoff with full jitter: `0 ..= min(32 x first, first x 2^(attempt - 1))`.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    rng: SmallRng,
}

impl Backoff {
    pub(crate) fn new(first: Duration, seed: u64) -> Self {
        Self { first, rng: SmallRng::seed_from_u64(seed) }
    }

    /// The pause after the attempt of that number (from 1).
    pub(crate) fn pause(&mut self, attempt: u32) -> Duration {
        let ceiling = self.first * (1 << attempt.saturating_sub(1).min(5));
        ceiling.mul_f64(self.rng.random_range(0.0..=1.0))
    }
}

/// One circuit breaker a service.
#[derive(Debug, Default)]
pub(crate) struct Breakers(HashMap<String, Breaker>);

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    opened: Option<Instant>,
}

impl Breakers {
    /// Whether a call to `service` may be made.
    ///
    /// # Errors
    /// Class `Unavailable` while its breaker is open.
    pub(crate) fn check(&mut self, service: &str, now: Instant) -> Result<(), OpError> {
        let Some(breaker) = self.0.get_mut(service) else { return Ok(()) };
        match breaker.opened {
            Some(at) if now < at + BREAKER_HALF_OPENS_AFTER => Err(OpError::new(
                ErrorClass::Unavailable,
                format!("`{service}` failed {} times in a row; it is left alone for a minute", breaker.failures),
            )
            .with_hint("when the service is back: `switchback resume`")),
            Some(_) => {
                // Half open: this one call may try; the others wait for its result.
                breaker.opened = Some(now);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call to `service` ended.
    pub(crate) fn note(&mut self, service: &str, error: Option<&OpError>, now: Instant) {
        let broken = error.is_some_and(|e| match e.class {
            ErrorClass::Ambiguous => true,
            // A throttling reply has a code and says that the service is there.
            ErrorClass::Transient => e.code.is_none(),
            _ => false,
        });
        if broken {
            let breaker = self.0.entry(service.to_owned()).or_default();
            breaker.failures += 1;
            if breaker.failures >= BREAKER_OPENS_AFTER {
                breaker.opened = Some(now);
            }
        } else if let Some(breaker) = self.0.get_mut(service) {
            *breaker = Breaker::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_ceiling_and_jitter_below_it() {
        let mut backoff = Backoff::new(Duration::from_secs(1), 7);
        for attempt in 1..20 {
            let ceiling = Duration::from_secs(1 << (attempt - 1).min(5));
            for _ in 0..50 {
                assert!(backoff.pause(attempt) <= ceiling);
            }
        }
        let seen: Vec<_> = (0..50).map(|_| backoff.pause(6)).collect();
        assert!(seen.iter().any(|d| *d > Duration::from_secs(16)), "the range is used");
        assert!(seen.iter().any(|d| *d < Duration::from_secs(16)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_breaker_opens_half_opens_and_closes() {
        let mut b = Breakers::default();
        let lost = OpError::new(ErrorClass::Ambiguous, "lost");
        for _ in 0..BREAKER_OPENS_AFTER {
            assert!(b.check("ec2", Instant::now()).is_ok());
            b.note("ec2", Some(&lost), Instant::now());
        }
        assert!(b.check("ec2", Instant::now()).is_err());
        assert!(b.check("rds", Instant::now()).is_ok(), "another service is another breaker");
        tokio::time::advance(BREAKER_HALF_OPENS_AFTER).await;
        assert!(b.check("ec2", Instant::now()).is_ok(), "half open");
        assert!(b.check("ec2", Instant::now()).is_err(), "for one call only");
        b.note("ec2", None, Instant::now());
        assert!(b.check("ec2", Instant::now()).is_ok());
    }

    #[test]
    fn throttling_does_not_open_a_breaker() {
        let mut b = Breakers::default();
        let throttled = OpError::new(ErrorClass::Transient, "slow down").with_code("RequestLimitExceeded");
        for _ in 0..20 {
            b.note("ec2", Some(&throttled), Instant::now());
        }
        assert!(b.check("ec2", Instant::now()).is_ok());
    }
}
