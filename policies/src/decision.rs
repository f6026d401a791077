//! May this agent do this to that, here and now?
//!
//! The answer is a value. A [`Permit`] has private fields and one maker, [`decide`]: without it no credential opens, no
//! container wakes. Whatever goes wrong on the way to an answer is a [`Denial`].
//!
//! ```compile_fail
//! fn forge(record: schemas::decision::DecisionRecord) -> policies::Permit {
//!     policies::Permit { record: Box::new(record) }
//! }
//! ```

use std::collections::BTreeSet;

use cedar_policy::{Entities, PolicyId};
use schemas::decision::{Decision, DecisionRecord, DecisionRequest, Effect, Principal, Shadow};

use crate::publish::CompiledSet;
use crate::selection::{Ask, Verdict};
use crate::slice::{self, SliceError};

/// Proof that the policies allowed exactly the request in its record. Only [`decide`] makes one; it is not `Clone`, so that a
/// step that consumes it consumes the only one.
#[derive(Debug)]
#[must_use = "a permit is the right to do something now"]
pub struct Permit {
    record: Box<DecisionRecord>,
}

impl Permit {
    /// What was asked and what was answered.
    pub fn record(&self) -> &DecisionRecord {
        &self.record
    }
}

/// The policies did not allow the request.
#[derive(Debug)]
#[must_use = "a denial must reach the caller"]
pub struct Denial {
    record: Box<DecisionRecord>,
}

impl Denial {
    /// What was asked and what was answered.
    pub fn record(&self) -> &DecisionRecord {
        &self.record
    }

    /// What would turn this into an allow, such as `approval:user`. Empty when nothing would, and then the caller is told
    /// no more than that there is no such thing.
    pub fn obligations(&self) -> &[String] {
        &self.record.decision.obligations
    }

    /// Stable words for machines on why the forbids that decided did so. Not for callers who may not know the resource.
    pub fn advice(&self) -> &[String] {
        &self.record.decision.advice
    }
}

/// Version of the records written here.
const RECORD_VERSION: u8 = 2;

/// Decides one request. Allows only if a permit matched, no forbid did, and every policy could be evaluated.
///
/// # Errors
/// A [`Denial`] is the other answer, not a failure; it carries the record just as the permit does.
pub fn decide(set: &CompiledSet, request: DecisionRequest) -> Result<Permit, Denial> {
    decide_beside(set, None, request)
}

/// Decides one request, and records what a draft on trial would have said. The draft decides nothing.
///
/// # Errors
/// As [`decide`].
pub fn decide_beside(
    set: &CompiledSet,
    draft: Option<&CompiledSet>,
    mut request: DecisionRequest,
) -> Result<Permit, Denial> {
    slice_grants(&mut request);
    let decision = evaluate_request(set, &request);
    let shadow = draft.map(|draft| Shadow {
        policy_set: draft.hash().clone(),
        decision: evaluate_request(draft, &request),
    });
    let allowed = decision.effect == Effect::Allow;
    let policy_set = set.hash().clone();
    let record = Box::new(DecisionRecord { v: RECORD_VERSION, request, policy_set, decision, shadow });
    if allowed { Ok(Permit { record }) } else { Err(Denial { record }) }
}

/// Leaves the grants that bear on the request.
pub(crate) fn slice_grants(request: &mut DecisionRequest) {
    let grants = match &mut request.principal {
        Principal::Agent(agent) => std::mem::take(&mut agent.grants),
        Principal::User(_) => return,
    };
    let mut sliced = grants;
    slice::with_reach(request, |reach| slice::slice_grants(&mut sliced, reach));
    if let Principal::Agent(agent) = &mut request.principal {
        agent.grants = sliced;
    }
}

/// Decides again what a record was about: with the set that decided it, this is the record's own decision; with another, it
/// is what that set would have said.
pub fn replay(set: &CompiledSet, record: &DecisionRecord) -> Decision {
    let mut request = record.request.clone();
    set.trim(&mut request);
    evaluate_request(set, &request)
}

/// The decision alone, for whoever only asks what would be decided.
pub(crate) fn evaluate_request(set: &CompiledSet, request: &DecisionRequest) -> Decision {
    answer(set, slice::build(&set.typed, request))
}

/// Asks Cedar, and makes every failure a deny.
pub(crate) fn answer(set: &CompiledSet, slice: Result<(slice::Request, Entities), SliceError>) -> Decision {
    match slice {
        Ok((request, entities)) => evaluate(set, request, &entities),
        Err(error) => Decision {
            effect: Effect::Deny,
            policies: Vec::new(),
            errors: vec![error.to_string()],
            advice: Vec::new(),
            obligations: Vec::new(),
        },
    }
}

pub(crate) fn evaluate(set: &CompiledSet, request: slice::Request, entities: &Entities) -> Decision {
    let request = request.into_cedar();
    let verdict = set.selection.ask(Ask::All, &request, entities);
    let mut decision = conclude(set, verdict);
    // Nobody is asked to approve what would be denied anyway: some permit must be waiting behind the forbids.
    if !decision.obligations.is_empty()
        && set.selection.ask(Ask::Permits, &request, entities).permits.is_empty()
    {
        decision.obligations.clear();
    }
    decision
}

/// Cedar skips policies that err, forbids too; so any error denies, whatever the others say.
fn conclude(set: &CompiledSet, verdict: Verdict) -> Decision {
    let Verdict { permits, forbids, errors } = verdict;
    let allowed = errors.is_empty() && forbids.is_empty() && !permits.is_empty();
    if allowed {
        return Decision {
            effect: Effect::Allow,
            policies: permits,
            errors,
            advice: Vec::new(),
            obligations: Vec::new(),
        };
    }
    let annotations = |key: &str| -> Vec<Option<String>> {
        let of = |id: &String| set.policies.annotation(&PolicyId::new(id), key).map(str::to_owned);
        forbids.iter().map(of).collect()
    };
    let advice: BTreeSet<String> = annotations("advice").into_iter().flatten().collect();
    // One forbid without an obligation is one that nothing can satisfy, and so is an error.
    let obligations: Option<BTreeSet<String>> = annotations("obligation").into_iter().collect();
    let obligations = obligations.filter(|_| errors.is_empty()).unwrap_or_default();
    Decision {
        effect: Effect::Deny,
        policies: forbids,
        errors,
        advice: advice.into_iter().collect(),
        obligations: obligations.into_iter().collect(),
    }
}
