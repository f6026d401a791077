//! What a draft would have decided otherwise, over decisions on record.
//!
//! Records hold the arguments that the set which decided looked into, and no others. Where a draft looks into more, it is told
//! only what is certain: see [`crate::foresight`].
//!
//! Calls repeat. A request is decided once, whatever time it was, if no policy read the clock on the way: that is found out by
//! deciding it without a clock, which fails where one is read. Of each line no more is read than that takes.

mod line;
mod report;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use schemas::decision::{DecisionRequest, Effect};
use schemas::ids::Timestamp;

use crate::arguments::ArgumentNames;
use crate::decision::evaluate_request;
use crate::foresight::{Foresight, Known, foresee_with};
use crate::publish::CompiledSet;
use crate::slice::{Clock, tool_id};
use line::Line;

pub use report::{Change, Example, Group, Report};

/// The sets that decided what is on record, by hash: they tell which arguments they had recorded.
pub type Sets = HashMap<String, CompiledSet>;

/// Replays recorded decisions against a draft. One for each thread: reports add up.
#[derive(Debug)]
pub struct Replay<'a> {
    draft: &'a CompiledSet,
    sets: &'a Sets,
    since: Option<Timestamp>,
    memo: Option<Memo>,
    report: Report,
}

/// What the draft says to requests seen before, by a hash of their text without the clock. The hash is keyed, and of 128 bits.
#[derive(Debug, Default)]
struct Memo {
    keys: [RandomState; 2],
    told: HashMap<[u64; 2], Told>,
}

/// How the draft decides a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Always so.
    Always(Foresight),
    /// It depends on the time.
    Timely,
}

/// How many requests are remembered: more are decided anew.
const REMEMBERED: usize = 1 << 20;

impl<'a> Replay<'a> {
    /// A replay against a draft. Records of sets that are not among these are taken to hold all that they look like.
    pub fn new(draft: &'a CompiledSet, sets: &'a Sets) -> Self {
        // A policy could read the clock without failing where there is none.
        let unseen = draft.looks.values().any(|looks| looks.clock_unseen);
        let memo = (!unseen).then(Memo::default);
        Self { draft, sets, since: None, memo, report: Report::default() }
    }

    /// Leaves out what is older.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Decides every request anew, even one seen before.
    #[must_use]
    pub fn without_memo(mut self) -> Self {
        self.memo = None;
        self
    }

    /// Takes one line: an event of the trail, or `{"event": ...}`, or a decision record.
    pub fn line(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let Ok(line) = serde_json::from_str::<Line>(text) else {
            self.report.unreadable += 1;
            return;
        };
        let Some(record) = line.record() else {
            self.report.without_decision += 1;
            return;
        };
        if let (Some(since), Some(at)) = (self.since, line.at())
            && at < since.0
        {
            self.report.older += 1;
            return;
        }
        let was = record.effect;
        let (key, remembered) = self.remembered(record.request.get(), record.policy_set);
        if let Some(Told::Always(says)) = remembered {
            let change = change(was, says);
            if change == Change::Unchanged || self.report.again(change, key) {
                return self.report.count(change);
            }
        }
        let Ok(mut request) = serde_json::from_str::<DecisionRequest>(record.request.get()) else {
            self.report.unreadable += 1;
            return;
        };
        let known = self.known(&request, record.policy_set);
        self.draft.trim(&mut request);
        let says = match remembered {
            Some(Told::Always(says)) => says,
            Some(Told::Timely) => decide(self.draft, &request, &known),
            None => self.learn(key, &request, &known),
        };
        let change = change(was, says);
        self.report.count(change);
        if change != Change::Unchanged {
            let decision = evaluate_request(self.draft, &request);
            let example = Example {
                event: line.id().map(str::to_owned),
                at: line.at().map(Timestamp),
                by: record.policies(),
                draft_by: decision.policies,
                asks: decision.obligations,
            };
            let group = Group {
                change,
                who: request.principal.name().to_owned(),
                action: request.action.as_str().to_owned(),
                what: request.resource.tool().map_or_else(|| request.resource.name().to_owned(), tool_id),
                count: 1,
                example,
            };
            // What depends on the time may be told otherwise the next time.
            let key = key.filter(|_| remembered != Some(Told::Timely));
            self.report.tell(key, group);
        }
    }

    /// What came of it.
    pub fn report(self) -> Report {
        self.report
    }

    /// The key of a request, and what is remembered of it.
    fn remembered(&self, request: &str, policy_set: &str) -> (Option<[u64; 2]>, Option<Told>) {
        let Some(memo) = &self.memo else { return (None, None) };
        let Some((before, after)) = line::around_clock(request) else { return (None, None) };
        let [first, second] = &memo.keys;
        let whole = (before, after, policy_set);
        let key = [first.hash_one(whole), second.hash_one(whole)];
        (Some(key), memo.told.get(&key).copied())
    }

    /// Decides a request that was not seen before, and remembers it if it has a key.
    fn learn(&mut self, key: Option<[u64; 2]>, request: &DecisionRequest, known: &Known) -> Foresight {
        let (Some(key), Some(memo)) = (key, &mut self.memo) else {
            return decide(self.draft, request, known);
        };
        let timeless = foresee_with(self.draft, request, known, Clock::Hidden);
        let (told, says) = if timeless.failed {
            (Told::Timely, decide(self.draft, request, known))
        } else {
            (Told::Always(timeless.effect()), timeless.effect())
        };
        if memo.told.len() < REMEMBERED {
            memo.told.insert(key, told);
        }
        says
    }

    /// Which arguments a record tells for certain.
    fn known(&self, request: &DecisionRequest, policy_set: &str) -> Known {
        match self.sets.get(policy_set) {
            Some(set) => set.recorded(request),
            None => Known {
                args: ArgumentNames::Some(request.context.args.keys().cloned().collect()),
                input: ArgumentNames::Some(request.context.input.keys().cloned().collect()),
            },
        }
    }
}

fn decide(draft: &CompiledSet, request: &DecisionRequest, known: &Known) -> Foresight {
    foresee_with(draft, request, known, Clock::Shown).effect()
}

fn change(was: Effect, says: Foresight) -> Change {
    match (was, says) {
        (Effect::Allow, Foresight::Allow) | (Effect::Deny, Foresight::Deny) => Change::Unchanged,
        (Effect::Deny, Foresight::Allow) => Change::NewlyAllowed,
        (Effect::Allow, Foresight::Deny) => Change::NewlyDenied,
        (_, Foresight::Open) => Change::CannotTell,
    }
}
