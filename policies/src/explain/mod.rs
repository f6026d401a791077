//! Why was it decided so? For whoever may read policies: which clauses of which policies decided and on which facts, which nearly
//! did, and what would turn a refusal.

mod clause;
mod smallest;
mod words;

use cedar_policy::{Effect as CedarEffect, Policy};
use schemas::decision::{Decision, DecisionRequest, Effect};
use serde_json::Value;

use crate::clauses::Part;
use crate::decision::evaluate_request;
use crate::publish::CompiledSet;
use crate::slice;
use clause::Facts;

pub use smallest::SmallestPermit;

/// Why a request was decided as it was.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Explanation {
    /// Version of this shape.
    pub v: u8,
    /// SHA-256 of the policy set that decides here.
    pub policy_set: String,
    /// In one sentence.
    pub summary: String,
    /// The decision.
    pub decision: Decision,
    /// What was asked, in Cedar's words.
    pub asked: Asked,
    /// The policies that decided.
    pub deciding: Vec<Reading>,
    /// Permits that nearly did, the nearest first.
    pub near: Vec<Reading>,
    /// What would turn this into an allow, each in a sentence.
    pub way_out: Vec<String>,
    /// The smallest policy that would allow exactly this request. None if it is allowed, or if no permit would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_permit: Option<SmallestPermit>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// Who.
    pub principal: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// On whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// A policy, read beside the facts of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reading {
    /// Its id.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// Its file.
    pub file: String,
    /// The line on which it begins.
    pub line: usize,
    /// The parts of its scope that this request does not meet, as they are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope_missed: Vec<String>,
    /// The clauses of its conditions.
    pub clauses: Vec<ClauseReading>,
}

/// A clause, read beside the facts of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ClauseReading {
    /// As it is written.
    pub text: String,
    /// The line that it stands on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Whether it holds.
    pub holds: Holds,
    /// The facts that it saw.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saw: Vec<Saw>,
}

/// Whether a clause holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It was not looked at, since one before it does not hold.
    NotReached,
    /// It cannot be evaluated, and that denies.
    Fails,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Saw {
    /// What was looked at.
    pub what: String,
    /// Its value; none if it is not there.
    pub value: Option<String>,
}

/// How many parts and clauses a policy may miss and still be near.
const NEAR: usize = 2;
/// How many of them are told.
const TOLD: usize = 5;

/// Explains what a set decides on a request. `given` are the arguments of the call as they were sent, if they are at hand: then the
/// smallest permit pins them all, and not only those that policies look into.
pub fn explain(set: &CompiledSet, request: &DecisionRequest, given: Option<&Value>) -> Explanation {
    let mut request = request.clone();
    set.trim(&mut request);
    let request = &request;
    let decision = evaluate_request(set, request);
    let mut explanation = Explanation {
        v: 1,
        policy_set: set.hash().as_str().to_owned(),
        summary: words::summary(&decision),
        asked: Asked {
            principal: request.principal.name().to_owned(),
            action: request.action.as_str().to_owned(),
            resource: request.resource.name().to_owned(),
            on_behalf_of: request.context.user.as_ref().map(|user| user.name.to_string()),
        },
        deciding: Vec::new(),
        near: Vec::new(),
        way_out: Vec::new(),
        smallest_permit: None,
        decision,
    };
    let Ok((parts, entities)) = slice::build(&set.typed, request) else {
        explanation.way_out = words::way_out(&explanation.decision, request, &[]);
        return explanation;
    };
    explanation.asked = Asked {
        principal: parts.principal.to_string(),
        action: parts.action.to_string(),
        resource: parts.resource.to_string(),
        on_behalf_of: explanation.asked.on_behalf_of,
    };
    let facts = Facts::new(parts, &entities);
    let mut readings: Vec<(usize, Reading)> =
        set.policies.policies().map(|policy| facts.read(policy, set.file_of(policy))).collect();
    readings.sort_by(|(a_misses, a), (b_misses, b)| (a_misses, &a.id).cmp(&(b_misses, &b.id)));
    let decided = |reading: &Reading| explanation.decision.policies.contains(&reading.id);
    let failed = |reading: &Reading| reading.clauses.iter().any(|clause| clause.holds == Holds::Fails);
    let (deciding, others): (Vec<_>, Vec<_>) =
        readings.into_iter().partition(|(_, reading)| decided(reading) || failed(reading));
    explanation.deciding = deciding.into_iter().map(|(_, reading)| reading).collect();
    if explanation.decision.effect == Effect::Deny {
        // Behind a forbid, only whoever would permit is of interest.
        let most = if explanation.decision.policies.is_empty() { NEAR } else { 0 };
        let near = others.into_iter().filter(|(misses, reading)| *misses <= most && is_near(set, reading));
        explanation.near = near.map(|(_, reading)| reading).take(TOLD).collect();
        explanation.smallest_permit = smallest::permit(set, request, &explanation.decision, given);
    }
    explanation.way_out = words::way_out(&explanation.decision, request, &explanation.near);
    explanation
}

/// Whether a permit is about the like of what was asked: one part of its scope may be missed; the action only by a policy that
/// names principal or resource.
fn is_near(set: &CompiledSet, reading: &Reading) -> bool {
    let names = |policy: &Policy| {
        let named = |part: Part| matches!(part, Part::Eq(_) | Part::In(_) | Part::IsIn(..));
        named(Part::principal(policy)) || named(Part::resource(policy))
    };
    let action = reading.scope_missed.iter().any(|part| part.starts_with("action"));
    reading.effect == "permit"
        && reading.scope_missed.len() <= 1
        && (!action || set.policy(&reading.id).is_some_and(names))
}

fn effect(policy: &Policy) -> &'static str {
    match policy.effect() {
        CedarEffect::Permit => "permit",
        CedarEffect::Forbid => "forbid",
    }
}
