//! Where a token reaches less far than the policies would let it: nothing but its scopes is in the way, so its client can ask for more.

use std::collections::BTreeSet;

use policies::Denial;

use super::Visit;
use crate::approvals::OBLIGATION;
use crate::platform::Platform;

/// How the obligation to have a scope begins: `scope:mcp:write`.
const SCOPE: &str = "scope:";

/// The scopes that would do.
#[derive(Debug, Clone)]
pub(crate) struct Scopes {
    /// Those that are missing.
    pub(crate) missing: BTreeSet<String>,
    /// With those that the token has, as a client has to ask for all at once (RFC 6750 §3.1).
    pub(crate) all: BTreeSet<String>,
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let missing: Vec<String> = self.missing.iter().map(|scope| format!("`{scope}`")).collect();
        write!(f, "this call needs a token with the scope {}", missing.join(" and "))
    }
}

impl<P: Platform> Visit<'_, P> {
    /// The scopes with which the policies would allow what they refused, or would ask for a person's approval of it. None where that
    /// would still be refused: then no token of any scope helps.
    pub(super) fn wanted_scopes(&self, denial: &Denial) -> Option<Scopes> {
        let missing = denial.obligations().iter().filter_map(|needed| needed.strip_prefix(SCOPE));
        let missing: BTreeSet<String> = missing.map(str::to_owned).collect();
        if missing.is_empty() {
            return None;
        }
        let mut request = denial.record().request.clone();
        request.context.token_scopes.extend(missing.iter().cloned());
        let all = request.context.token_scopes.clone();
        let would_do = match policies::decide(&self.policies, request.clone()) {
            Ok(_only_supposed) => true,
            Err(denial) if denial.obligations() == [OBLIGATION] => {
                request.context.approval = self.approval(request.context.now);
                policies::decide(&self.policies, request).is_ok()
            }
            Err(_) => false,
        };
        would_do.then_some(Scopes { missing, all })
    }
}
