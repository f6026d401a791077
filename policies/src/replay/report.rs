//! What came of a replay.

use std::collections::HashMap;

use schemas::ids::Timestamp;

/// What a draft makes of a recorded decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was denied, and would be allowed.
    NewlyAllowed,
    /// It was allowed, and would be denied.
    NewlyDenied,
    /// The draft looks into something that is not on record.
    CannotTell,
    /// It would be decided as it was.
    Unchanged,
}

/// Changes of one kind, of one agent or person and one thing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// What changes.
    pub change: Change,
    /// Whose requests.
    pub who: String,
    /// What they do.
    pub action: String,
    /// To what.
    pub what: String,
    /// How many.
    pub count: u64,
    /// One of them.
    pub example: Example,
}

/// One of many.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Example {
    /// The event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The policies that decided.
    pub by: Vec<String>,
    /// The policies that would decide.
    pub draft_by: Vec<String>,
    /// What would have to be done first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<String>,
}

/// What came of a replay.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Recorded decisions that were replayed.
    pub decided: u64,
    /// Those that would be as they were.
    pub unchanged: u64,
    /// Denied, and would be allowed.
    pub newly_allowed: u64,
    /// Allowed, and would be denied.
    pub newly_denied: u64,
    /// The draft looks into arguments that are not on record.
    pub cannot_tell: u64,
    /// Lines left out because they are older than was asked for.
    pub older: u64,
    /// Lines without a decision: outcomes, notes.
    pub without_decision: u64,
    /// Lines that are no events.
    pub unreadable: u64,
    /// The changes, the most frequent of each kind first.
    pub groups: Vec<Group>,
    #[serde(skip)]
    by_name: HashMap<(Change, String, String, String), usize>,
    #[serde(skip)]
    by_key: HashMap<(Change, [u64; 2]), usize>,
}

impl Report {
    pub(super) fn count(&mut self, change: Change) {
        self.decided += 1;
        match change {
            Change::Unchanged => self.unchanged += 1,
            Change::NewlyAllowed => self.newly_allowed += 1,
            Change::NewlyDenied => self.newly_denied += 1,
            Change::CannotTell => self.cannot_tell += 1,
        }
    }

    /// Counts another of a request that was told of; false if it was not.
    pub(super) fn again(&mut self, change: Change, key: Option<[u64; 2]>) -> bool {
        let index = key.and_then(|key| self.by_key.get(&(change, key)));
        let group = index.and_then(|index| self.groups.get_mut(*index));
        match group {
            Some(group) => {
                group.count += 1;
                true
            }
            None => false,
        }
    }

    pub(super) fn tell(&mut self, key: Option<[u64; 2]>, group: Group) {
        let change = group.change;
        let index = self.put(group);
        if let Some(key) = key {
            self.by_key.insert((change, key), index);
        }
    }

    fn put(&mut self, group: Group) -> usize {
        let name = (group.change, group.who.clone(), group.action.clone(), group.what.clone());
        let index = *self.by_name.entry(name).or_insert(self.groups.len());
        match self.groups.get_mut(index) {
            Some(there) => there.count += group.count,
            None => self.groups.push(group),
        }
        index
    }

    /// Adds what another thread found.
    pub fn add(&mut self, other: Self) {
        self.decided += other.decided;
        self.unchanged += other.unchanged;
        self.newly_allowed += other.newly_allowed;
        self.newly_denied += other.newly_denied;
        self.cannot_tell += other.cannot_tell;
        self.older += other.older;
        self.without_decision += other.without_decision;
        self.unreadable += other.unreadable;
        for group in other.groups {
            self.put(group);
        }
    }

    /// Puts the groups in order: by kind, the most frequent first. What comes after this starts groups anew.
    pub fn sort(&mut self) {
        self.by_name.clear();
        self.by_key.clear();
        self.groups.sort_by(|a, b| {
            (a.change, std::cmp::Reverse(a.count), &a.who, &a.what).cmp(&(
                b.change,
                std::cmp::Reverse(b.count),
                &b.who,
                &b.what,
            ))
        });
    }
}
