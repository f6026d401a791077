//! Names in policies of things that the organisation does not have: mostly misspelt, and then a forbid forbids nothing.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast::{EntityUID, ExprKind, Literal};
use schemas::inventory::Inventory;

use super::{Finding, Severity, Written, start};
use crate::problem::Problem;

/// Ids by entity type, for those types whose every member an inventory lists.
struct Known(BTreeMap<&'static str, BTreeSet<String>>);

impl Known {
    fn of(inventory: &Inventory) -> Self {
        let texts = |names: &mut dyn Iterator<Item = String>| names.collect::<BTreeSet<String>>();
        let granted = |pick: fn(&schemas::decision::Grants) -> Vec<String>| {
            inventory.agents.iter().flat_map(move |agent| pick(&agent.grants))
        };
        let toolboxes = inventory.servers.iter().map(|server| server.toolbox.to_string());
        let of_tools = inventory.tools.iter().map(|tool| tool.server.toolbox.to_string());
        let granted_toolboxes = granted(|grants| grants.toolboxes.iter().map(ToString::to_string).collect());
        let servers = inventory.servers.iter().map(|server| server.name.to_string());
        let of_tool = inventory.tools.iter().map(|tool| tool.server.name.to_string());
        let teams = inventory.teams.iter().map(|team| team.name.to_string());
        let members = inventory.agents.iter().flat_map(|agent| agent.teams.iter().map(ToString::to_string));
        let people = inventory.users.iter().flat_map(|user| user.teams.iter().map(ToString::to_string));
        Self(BTreeMap::from([
            ("Ambit::Agent", texts(&mut inventory.agents.iter().map(|agent| agent.name.to_string()))),
            ("Ambit::User", texts(&mut inventory.users.iter().map(|user| user.name.to_string()))),
            ("Ambit::Team", texts(&mut teams.chain(members).chain(people))),
            ("Ambit::Toolbox", texts(&mut toolboxes.chain(of_tools).chain(granted_toolboxes))),
            ("Ambit::McpServer", texts(&mut servers.chain(of_tool))),
            ("Ambit::Tool", texts(&mut inventory.tools.iter().map(crate::slice::tool_id))),
            ("Ambit::Org", BTreeSet::from([inventory.org.id.to_string()])),
        ]))
    }

    /// What to say of an entity that is not there.
    fn complaint(&self, uid: &EntityUID) -> Option<String> {
        let kind = uid.entity_type().to_string();
        let known = self.0.get(kind.as_str())?;
        let id: &str = uid.eid().as_ref();
        if known.contains(id) {
            return None;
        }
        let word = match kind.as_str() {
            "Ambit::Agent" => "agent",
            "Ambit::User" => "person",
            "Ambit::Team" => "team",
            "Ambit::Toolbox" => "toolbox",
            "Ambit::McpServer" => "server",
            "Ambit::Tool" => "tool",
            _ => "organisation of this inventory",
        };
        let hint = match nearest(id, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "if it is new, bring `inventory.json` up to date".to_owned(),
        };
        Some(format!("there is no {word} `{id}`; {hint}"))
    }
}

/// The name that was most likely meant, if any is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    let far = (name.chars().count() / 3).max(1);
    let distance = |other: &&String| strsim::damerau_levenshtein(name, other);
    let near = known.into_iter().min_by_key(distance)?;
    (distance(&near) <= far).then_some(near)
}

pub(super) fn findings(inventory: &Inventory, written: &Written<'_>) -> Vec<Finding> {
    let known = Known::of(inventory);
    let mut findings = Vec::new();
    for (_, policy, file) in &written.policies {
        let inner: &cedar_policy_core::ast::Policy = policy.as_ref();
        let whole = inner.condition();
        let named = whole.subexpressions().filter_map(|expression| {
            if let ExprKind::Lit(Literal::EntityUID(uid)) = expression.expr_kind() { Some(uid) } else { None }
        });
        for uid in named {
            let Some(message) = known.complaint(uid) else { continue };
            let place = uid.loc().map_or_else(|| start(policy)..start(policy), |loc| loc.start()..loc.end());
            let problem = Problem::at(file, place, message);
            findings.push(Finding { severity: Severity::Error, rule: "unknown", problem });
        }
    }
    findings
}
