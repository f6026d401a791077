//! What an agent is told of a refusal: a stable code, and what would make the call succeed. The same for what is forbidden and for what
//! is not there: nobody learns from a refusal what exists.

use schemas::audit::AuditEvent;
use schemas::ids::EventId;

use crate::approvals::OBLIGATION;

/// What an agent is told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Told {
    /// `not_permitted` or `needs`.
    pub(crate) code: &'static str,
    /// What would make the call succeed, such as `approval:user`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<String>,
    /// Where whoever may read the trail finds the reason.
    pub(crate) reference: EventId,
}

impl Told {
    /// A refusal, as the trail knows it.
    pub(crate) fn of(event: &AuditEvent) -> Self {
        let needs = event.decision.as_ref().map(|record| record.decision.obligations.clone());
        // Nobody is told of an approval that would not have been enough: only a refusal that asked for one says so.
        let needs = needs.filter(|needs| needs.as_slice() != [OBLIGATION] || event.reason.is_some());
        Self::new(event.id.clone(), needs.unwrap_or_default())
    }

    /// A refusal that these would turn.
    pub(crate) fn new(reference: EventId, needs: Vec<String>) -> Self {
        let code = if needs.is_empty() { "not_permitted" } else { "needs" };
        Self { code, needs, reference }
    }
}
