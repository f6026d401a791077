//! Step 4 before all of a request is known.

use policies::{Denial, Foresight, Known, foresee};
use schemas::decision::DecisionRequest;

use super::Visit;
use crate::platform::Platform;

impl<P: Platform> Visit<'_, P> {
    /// The refusal of a request of which only these arguments are known, if the others can't change it, nor what a draft on trial says.
    pub(crate) fn certain_denial(&self, request: DecisionRequest, known: &Known) -> Option<Denial> {
        let denied = foresee(&self.policies, &request, known) == Foresight::Deny;
        let tried = |draft| foresee(draft, &request, known) != Foresight::Open;
        if denied && self.shadow.as_deref().is_none_or(tried) {
            // Foresight only ever saves work: what decides is a decision.
            return self.decide(request).err();
        }
        None
    }
}
