//! When a credential is renewed: early enough that calls never wait, and not by everybody at once.

use schemas::ids::Timestamp;

use super::{Account, Credential};
use crate::platform::Platform;
use crate::store::connections::Times;

/// An access token with less than this left is not sent any more, in milliseconds: clocks differ, and calls take time.
const FLOOR: i64 = 60_000;
/// It is renewed when this much is left, or a tenth of its life if that is more.
const MARGIN: i64 = 5 * 60_000;

impl Times {
    /// What follows from a credential. The margin varies by a fifth either way, so that what was made together is not renewed together.
    pub(super) fn of(platform: &impl Platform, credential: &Credential) -> Self {
        let Some(expires_at) = credential.expires_at else { return Self::default() };
        let life = expires_at.0.saturating_sub(credential.issued_at.0).max(0);
        let floor = FLOOR.min(life / 4);
        let margin = MARGIN.max(life / 10).min(life / 2);
        let mut byte = [0];
        platform.fill_random(&mut byte);
        let jitter = i64::from(byte.first().copied().unwrap_or(128)) - 128;
        let margin = margin.saturating_add(margin.saturating_mul(jitter) / (5 * 128));
        Self {
            expires_at: Some(expires_at),
            usable_until: Some(expires_at.plus(-floor)),
            refresh_at: credential.refresh.as_ref().map(|_| expires_at.plus(-margin.max(floor))),
        }
    }
}

impl Account {
    /// Whether its access token is good for a call that begins now.
    pub(crate) fn is_usable(&self, now: Timestamp) -> bool {
        self.usable_until.is_none_or(|until| now < until)
    }

    /// Whether it is time to renew it.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.refresh_at.is_some_and(|at| now >= at)
    }
}
