//! What is decided for certain, though some arguments of the call are not known: before its body has been read, or where the
//! record keeps no more than a digest of them.
//!
//! Policies that look into no unknown argument say the same whatever the unknown ones are. The answer is theirs if the others
//! cannot change it, and otherwise [`Foresight::Open`].

use schemas::decision::{Action, DecisionRequest};

use crate::arguments::ArgumentNames;
use crate::publish::CompiledSet;
use crate::selection::Ask;
use crate::slice::{self, Clock};
use crate::typed::InputNames;

/// Which arguments of a request are known. A known name that is not in the request is one that the call does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Of `context.args`, by flattened name.
    pub args: ArgumentNames,
    /// Of `context.input`, by name.
    pub input: ArgumentNames,
}

impl Known {
    /// No argument is known.
    pub const NONE: Self = Self { args: ArgumentNames::None, input: ArgumentNames::None };
    /// Every argument is known.
    pub const ALL: Self = Self { args: ArgumentNames::All, input: ArgumentNames::All };
}

/// What [`crate::decide`] is going to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foresight {
    /// Yes, whatever the unknown arguments are.
    Allow,
    /// No, whatever they are, and nothing that anybody could do now would turn it.
    Deny,
    /// It depends on them, or on an obligation that could be met.
    Open,
}

/// Foresees the decision on a request of which only the `known` arguments are certain.
pub fn foresee(set: &CompiledSet, request: &DecisionRequest, known: &Known) -> Foresight {
    foresee_with(set, request, known, Clock::Shown).foresight
}

/// What is foreseen, and whether anything failed on the way.
pub(crate) struct Foreseen {
    pub(crate) foresight: Foresight,
    pub(crate) failed: bool,
    /// A forbid is certain, though an obligation might turn it.
    forbidden: bool,
}

impl Foreseen {
    /// The effect alone: what waits for an obligation is denied for now.
    pub(crate) fn effect(&self) -> Foresight {
        if self.forbidden { Foresight::Deny } else { self.foresight }
    }
}

/// The same, though there may be no clock.
pub(crate) fn foresee_with(
    set: &CompiledSet,
    request: &DecisionRequest,
    known: &Known,
    clock: Clock,
) -> Foreseen {
    let told = |foresight| Foreseen { foresight, failed: false, forbidden: false };
    let failed = Foreseen { foresight: Foresight::Deny, failed: true, forbidden: true };
    let Ok((parts, entities)) = slice::build_as(&set.typed, request, &known.input, clock) else {
        // What is wrong here is wrong in the whole request too.
        return failed;
    };
    let cedar = parts.into_cedar();
    let certain = |id: &str| {
        set.looks.get(id).is_some_and(|looks| {
            looks.arguments.is_within(&known.args) && input_is_within(&looks.input, &known.input)
        })
    };
    let ask = |ask| set.selection.ask_certain(ask, &cedar, &entities, certain);
    let (verdict, open) = ask(Ask::All);
    let hard = |id: &String| set.annotation(id, "obligation").is_none();
    if !verdict.errors.is_empty() {
        return failed;
    }
    if verdict.forbids.iter().any(hard) {
        return told(Foresight::Deny);
    }
    let forbidden = !verdict.forbids.is_empty();
    let permits = if forbidden { ask(Ask::Permits).0 } else { verdict }.permits;
    if permits.is_empty() && !open.iter().any(|id| set.is_permit(id)) {
        // Where no permit waits behind the forbids, an obligation would be met for nothing.
        return told(Foresight::Deny);
    }
    let harmless = |id: &&str| set.is_permit(id) && set.looks.get(*id).is_some_and(|looks| !looks.may_err);
    let permitted = !forbidden && !permits.is_empty();
    if permitted && open.iter().all(harmless) && input_fits(set, request, known) {
        return told(Foresight::Allow);
    }
    Foreseen { forbidden, ..told(Foresight::Open) }
}

/// Whether the typed arguments can no longer turn out to be of another type than was approved: that denies.
fn input_fits(set: &CompiledSet, request: &DecisionRequest, known: &Known) -> bool {
    match (request.action, request.resource.tool()) {
        (Action::CallTool, Some(tool)) => match set.typed.of(tool) {
            Ok(input) => input.is_none_or(|input| input.is_known(&known.input)),
            Err(_) => false,
        },
        _ => true,
    }
}

fn input_is_within(names: &InputNames, known: &ArgumentNames) -> bool {
    match names {
        InputNames::Some(names) => names.iter().all(|name| known.contains(name)),
        InputNames::All => *known == ArgumentNames::All,
    }
}
