//! When a server that failed may be tried again.

use std::time::Duration;

use tokio::time::Instant;

use crate::settings::Settings;

/// A server that ran this long before it failed did not fail to start.
const STEADY: Duration = Duration::from_mins(1);

/// The failures of one workload in a row.
#[derive(Debug, Default, Clone)]
pub(crate) struct BackOff {
    failures: u32,
    until: Option<Instant>,
    reason: String,
    started: Option<Instant>,
}

impl BackOff {
    /// It started and greeted us.
    pub(crate) fn started(&mut self) {
        self.started = Some(Instant::now());
    }

    /// It failed, at start or later.
    pub(crate) fn failed(&mut self, reason: &str, settings: &Settings) {
        let now = Instant::now();
        if self.started.take().is_some_and(|since| now.duration_since(since) >= STEADY) {
            self.failures = 0;
        }
        let wait =
            settings.first_back_off.saturating_mul(1 << self.failures.min(16)).min(settings.longest_back_off);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait);
        reason.clone_into(&mut self.reason);
    }

    /// How long to wait before the next attempt.
    pub(crate) fn remaining(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Why it failed the last time, while it has not come back.
    pub(crate) fn reason(&self) -> Option<&str> {
        (self.failures > 0 && self.started.is_none()).then_some(self.reason.as_str())
    }

    /// The same, whether it came back or not.
    pub(crate) fn last_reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn doubles_up_to_a_bound_and_forgets_after_steady_work() {
        let settings = Settings::default();
        let mut back_off = BackOff::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            back_off.failed("x", &settings);
            waits.push(back_off.remaining().as_millis());
            tokio::time::advance(back_off.remaining()).await;
            back_off.started();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(waits[..4], [250, 500, 1000, 2000]);
        assert_eq!(waits[11], 60_000);
        tokio::time::advance(STEADY).await;
        back_off.failed("y", &settings);
        assert_eq!(back_off.remaining().as_millis(), 250);
        assert_eq!(back_off.reason(), Some("y"));
    }
}
