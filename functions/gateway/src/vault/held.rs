//! Unwrapped keys, for a few minutes: so that a call does not wait for the root each time, and goes on for a while when it is away.
//!
//! Nobody waits for a key that somebody else is having unwrapped: on an edge, a request must not await another's work. So a burst at a
//! cold start asks the root a few times for the same key.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use schemas::ids::{OrgId, Timestamp};

use super::credentials::VaultError;
use super::envelope::TenantKey;

/// How long a key is held, in milliseconds. A root that was taken away is felt after this.
const HOLDS: i64 = 5 * 60 * 1000;
/// How long a root that failed is left alone, in milliseconds: callers must not queue up at one that is slow.
const RESTS: i64 = 2000;
/// How many keys are held.
const MOST: usize = 256;

/// The keys of one instance of the gateway.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: RefCell<HashMap<(OrgId, u32), Entry>>,
    uses: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    outcome: Outcome,
    from: Timestamp,
    used: u64,
}

type Outcome = Result<Rc<TenantKey>, VaultError>;

impl Entry {
    /// Whether it still counts. A clock that went back makes nothing last longer.
    fn counts(&self, now: Timestamp) -> bool {
        let age = now.0.saturating_sub(self.from.0);
        (0..if self.outcome.is_ok() { HOLDS } else { RESTS }).contains(&age)
    }
}

impl Held {
    /// The key, or the failure, if there was either of late.
    pub(super) fn get(&self, org: &OrgId, version: u32, now: Timestamp) -> Option<Outcome> {
        let mut keys = self.keys.borrow_mut();
        let at = (org.clone(), version);
        let entry = keys.get_mut(&at)?;
        if !entry.counts(now) {
            keys.remove(&at);
            return None;
        }
        entry.used = self.next_use();
        Some(entry.outcome.clone())
    }

    /// Holds a key, or a failure. The one that was not used for longest goes, if there are too many.
    pub(super) fn put(&self, org: &OrgId, version: u32, now: Timestamp, outcome: &Outcome) {
        let mut keys = self.keys.borrow_mut();
        if keys.len() >= MOST {
            keys.retain(|_, entry| entry.counts(now));
        }
        if keys.len() >= MOST
            && let Some(oldest) = keys.iter().min_by_key(|(_, entry)| entry.used).map(|(at, _)| at.clone())
        {
            keys.remove(&oldest);
        }
        let entry = Entry { outcome: outcome.clone(), from: now, used: self.next_use() };
        keys.insert((org.clone(), version), entry);
    }

    /// Forgets all keys of an organisation.
    pub(super) fn forget(&self, org: &OrgId) {
        self.keys.borrow_mut().retain(|(of, _), _| of != org);
    }

    fn next_use(&self) -> u64 {
        self.uses.set(self.uses.get().wrapping_add(1));
        self.uses.get()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn org(number: u8) -> OrgId {
        OrgId::mint(Timestamp(0), [number; 10])
    }

    fn key(version: u32) -> Rc<TenantKey> {
        Rc::new(TenantKey::new(version, Zeroizing::new([7; 32])))
    }

    #[test]
    fn a_key_is_held_for_five_minutes_and_a_failure_for_a_moment() {
        let held = Held::default();
        held.put(&org(1), 1, Timestamp(1000), &Ok(key(1)));
        held.put(&org(2), 1, Timestamp(1000), &Err(VaultError::Unopened));
        let there = |org: &OrgId, now| held.get(org, 1, Timestamp(now)).is_some();
        assert!(there(&org(1), 1000 + HOLDS - 1) && there(&org(2), 1000 + RESTS - 1));
        assert!(!there(&org(1), 1000 + HOLDS) && !there(&org(2), 1000 + RESTS));
        held.put(&org(1), 1, Timestamp(1000), &Ok(key(1)));
        assert!(!there(&org(1), 999), "held in the future of a clock that went back");
        assert!(held.get(&org(1), 2, Timestamp(1000)).is_none());
    }

    #[test]
    fn whoever_was_not_used_for_longest_makes_room() {
        let held = Held::default();
        for version in 0..256 {
            held.put(&org(1), version, Timestamp(0), &Ok(key(version)));
        }
        assert!(held.get(&org(1), 0, Timestamp(0)).is_some(), "used just now");
        held.put(&org(1), 256, Timestamp(0), &Ok(key(256)));
        assert_eq!(held.keys.borrow().len(), MOST);
        assert!(held.get(&org(1), 0, Timestamp(0)).is_some());
        assert!(held.get(&org(1), 1, Timestamp(0)).is_none());
    }
}
