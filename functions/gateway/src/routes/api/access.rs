//! What an address is for, as an action of the policies. Who may do that stands in `policies/roles.cedar` and in the organisation's
//! own policies, never here.

use http::Method;
use schemas::decision::{Action, OrgFacts, ResourceFacts, ToolboxFacts};
use schemas::names::ToolboxName;

use super::problem::ApiError;

/// What the policies are asked before anything is done at an address. `None` for approvals: each is decided for the call it is about.
pub(super) fn demand(
    method: &Method,
    rest: &[&str],
    org: &OrgFacts,
) -> Result<Option<(Action, ResourceFacts)>, ApiError> {
    let whole = ResourceFacts::Org(org.clone());
    let reads = method == Method::GET;
    Ok(Some(match rest {
        ["approvals", ..] => return Ok(None),
        ["policies", ..] if !reads => (Action::PublishPolicy, whole),
        ["policies" | "inventory", ..] => (Action::ReadPolicy, whole),
        ["audit" | "decisions", ..] => (Action::ReadAudit, whole),
        ["servers", _, "tools", ..] | ["toolboxes", _, "servers", _, "inspect"] => {
            (if reads { Action::Deploy } else { Action::ApproveTool }, whole)
        }
        ["toolboxes", name] => {
            let facts = ToolboxFacts { name: ToolboxName::parse(name)?, org: org.clone() };
            (Action::Deploy, ResourceFacts::Toolbox(facts))
        }
        ["servers", ..] => (Action::Deploy, whole),
        // What nobody thought of is for those who may do everything.
        _ => (Action::Administer, whole),
    }))
}
