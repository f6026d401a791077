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

use cedar_policy::{Authorizer, PolicyId, PolicySet, Response};
use schemas::decision::{
    Action, AgentFacts, ContextFacts, Decision, DecisionRecord, DecisionRequest, Effect, ResourceFacts,
};

use crate::publish::CompiledSet;
use crate::slice::{self, Slice, SliceError};
use crate::vocabulary;

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
const RECORD_VERSION: u8 = 1;

/// Decides one request. Allows only if a permit matched, no forbid did, and every policy could be evaluated.
///
/// # Errors
/// A [`Denial`] is the other answer, not a failure; it carries the record just as the permit does.
pub fn decide(set: &CompiledSet, mut request: DecisionRequest) -> Result<Permit, Denial> {
    slice::slice_grants(&mut request.principal.grants, &request.resource);
    let decision = evaluate_request(set, &request);
    let allowed = decision.effect == Effect::Allow;
    let record =
        Box::new(DecisionRecord { v: RECORD_VERSION, request, policy_set: set.hash().clone(), decision });
    if allowed { Ok(Permit { record }) } else { Err(Denial { record }) }
}

/// Decides again what a record was about: with the set that decided it, this is the record's own decision; with another, it
/// is what that set would have said.
pub fn replay(set: &CompiledSet, record: &DecisionRecord) -> Decision {
    evaluate_request(set, &record.request)
}

/// The decision alone, for whoever only asks what would be decided.
pub(crate) fn evaluate_request(set: &CompiledSet, request: &DecisionRequest) -> Decision {
    answer(set, slice::build(request))
}

/// What a list has in common: who lists, and under which circumstances.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// Who.
    pub principal: AgentFacts,
    /// One of the `list` actions.
    pub action: Action,
    /// Under which circumstances.
    pub context: ContextFacts,
}

/// Decides one request per resource, in order. Each answer is the one that [`decide`] gives for that resource alone; what
/// the requests have in common is built once.
pub fn decide_many<'a>(
    set: &CompiledSet,
    list: &ListRequest,
    resources: impl IntoIterator<Item = &'a ResourceFacts>,
) -> Vec<Decision> {
    resources
        .into_iter()
        .map(|resource| {
            let mut principal =
                AgentFacts { grants: schemas::decision::Grants::default(), ..list.principal.clone() };
            principal.grants = list.principal.grants.clone();
            let request = DecisionRequest {
                principal,
                action: list.action,
                resource: resource.clone(),
                context: list.context.clone(),
            };
            answer(set, slice::build(&request))
        })
        .collect()
}

/// Asks Cedar, and makes every failure a deny.
pub(crate) fn answer(set: &CompiledSet, slice: Result<Slice, SliceError>) -> Decision {
    match slice.map_err(|error| error.to_string()).and_then(|slice| evaluate(set, slice)) {
        Ok(decision) => decision,
        Err(error) => Decision {
            effect: Effect::Deny,
            policies: Vec::new(),
            errors: vec![error],
            advice: Vec::new(),
            obligations: Vec::new(),
        },
    }
}

fn evaluate(set: &CompiledSet, slice: Slice) -> Result<Decision, String> {
    let Slice { principal, action, resource, context, entities } = slice;
    let schema = vocabulary::schema()?;
    let request = cedar_policy::Request::new(principal, action, resource, context, Some(schema))
        .map_err(|error| error.to_string())?;
    let authorizer = Authorizer::new();
    let response = authorizer.is_authorized(&request, &set.policies, &entities);
    let mut decision = read(&set.policies, &response);
    if !decision.obligations.is_empty() {
        // Nobody is asked to approve what would be denied anyway: some permit must be waiting behind the forbids.
        let behind = authorizer.is_authorized(&request, &set.permits, &entities);
        if read(&set.permits, &behind).effect == Effect::Deny {
            decision.obligations.clear();
        }
    }
    Ok(decision)
}

/// Reads Cedar's response. Cedar skips policies that err, forbids too; so any error denies, whatever the response says.
fn read(policies: &PolicySet, response: &Response) -> Decision {
    let mut errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
    errors.sort();
    let denied = response.decision() == cedar_policy::Decision::Deny;
    let mut deciding: Vec<&PolicyId> = response.diagnostics().reason().collect();
    if !errors.is_empty() && !denied {
        deciding.clear();
    }
    deciding.sort();
    let annotations = |key: &str| -> Vec<Option<String>> {
        deciding.iter().map(|id| policies.annotation(id, key).map(str::to_owned)).collect()
    };
    let (mut advice, mut obligations) = (Vec::new(), Vec::new());
    if denied {
        advice = annotations("advice").into_iter().flatten().collect();
        advice.sort();
        advice.dedup();
        if errors.is_empty() {
            // One forbid without an obligation is one that nothing can satisfy.
            let all: Option<Vec<String>> = annotations("obligation").into_iter().collect();
            obligations = all.unwrap_or_default();
            obligations.sort();
            obligations.dedup();
        }
    }
    Decision {
        effect: if denied || !errors.is_empty() { Effect::Deny } else { Effect::Allow },
        policies: deciding.iter().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect(),
        errors,
        advice,
        obligations,
    }
}
