//! Who may do what, of all that an organisation has: a text for people to review, in which a change of a policy shows as a change
//! of lines.
//!
//! Agents act for their owner, if they have one. Arguments are not known here: where they decide, it says so.

use std::fmt::Write as _;

use schemas::decision::{Action, DecisionRequest, Effect, ToolFacts};
use schemas::inventory::Inventory;

use crate::decision::evaluate_request;
use crate::foresight::{Foresight, Known, foresee};
use crate::publish::CompiledSet;
use crate::scenario::Scenario;
use crate::slice::tool_id;

/// One line of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Line {
    /// The agent or the person.
    pub who: String,
    /// The action.
    pub action: &'static str,
    /// The tool, as `toolbox: server/tool`; or what else it is done to.
    pub what: String,
    /// `allow`, `DENY` or `depends`, and why.
    pub decision: String,
}

/// The lines, by agent and tool in the order of the inventory, then by person.
pub fn lines(set: &CompiledSet, inventory: &Inventory) -> Vec<Line> {
    let mut lines = Vec::new();
    for agent in &inventory.agents {
        for tool in &inventory.tools {
            for action in [Action::ListTool, Action::CallTool] {
                let scenario = Scenario {
                    agent: Some(agent.name.clone()),
                    user: agent
                        .owner
                        .clone()
                        .filter(|owner| inventory.users.iter().any(|user| user.name == *owner)),
                    ..Scenario::default()
                };
                let what = format!("{}: {}", tool.server.toolbox, tool_id(tool));
                lines.extend(line(set, inventory, &scenario, action, tool, agent.name.as_str(), what));
            }
        }
    }
    let managing = [
        Action::Administer,
        Action::Deploy,
        Action::ApproveTool,
        Action::PublishPolicy,
        Action::ReadPolicy,
        Action::ReadAudit,
    ];
    for user in &inventory.users {
        for action in managing {
            let scenario =
                Scenario { user: Some(user.name.clone()), action: Some(action), ..Scenario::default() };
            if let Ok(request) = scenario.request(set, inventory) {
                let decision = told(set, &request);
                let what = "the organisation".to_owned();
                lines.push(Line { who: user.name.to_string(), action: action.as_str(), what, decision });
            }
        }
    }
    lines
}

fn line(
    set: &CompiledSet,
    inventory: &Inventory,
    scenario: &Scenario,
    action: Action,
    tool: &ToolFacts,
    who: &str,
    what: String,
) -> Option<Line> {
    let scenario = Scenario {
        tool: Some(tool_id(tool)),
        toolbox: Some(tool.server.toolbox.clone()),
        action: Some(action),
        ..scenario.clone()
    };
    let request = scenario.request(set, inventory).ok()?;
    Some(Line { who: who.to_owned(), action: action.as_str(), what, decision: told(set, &request) })
}

fn told(set: &CompiledSet, request: &DecisionRequest) -> String {
    let decision = evaluate_request(set, request);
    let by = decision.policies.join(", ");
    match foresee(set, request, &Known::NONE) {
        Foresight::Allow => match &decision.effect {
            Effect::Allow => format!("allow   {by}"),
            // Without arguments the call is not even well-formed; with them it is allowed.
            Effect::Deny => "allow".to_owned(),
        },
        Foresight::Deny if decision.effect == Effect::Deny && by.is_empty() => {
            "DENY    nothing permits".to_owned()
        }
        Foresight::Deny if decision.effect == Effect::Deny => format!("DENY    {by}"),
        Foresight::Deny => "DENY".to_owned(),
        Foresight::Open if !decision.obligations.is_empty() => {
            format!("asks    {}", decision.obligations.join(", "))
        }
        Foresight::Open => "depends on arguments".to_owned(),
    }
}

/// The text of a matrix.
pub fn text(lines: &[Line]) -> String {
    let width =
        |pick: fn(&Line) -> &str| lines.iter().map(|line| pick(line).chars().count()).max().unwrap_or(0);
    let (who, what) = (width(|line| &line.who), width(|line| &line.what));
    let mut text = "# Who may do what: agent (acting for its owner) or person | action | what | decision\n\
                    # Written by `ambit policy test --update`. Review what changes.\n"
        .to_owned();
    for Line { who: name, action, what: thing, decision } in lines {
        let _ = writeln!(text, "{name:<who$} | {action:<13} | {thing:<what$} | {decision}");
    }
    text
}
