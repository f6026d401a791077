//! Least privilege: from what an agent was seen to do, the narrower grants that still allow all of it.

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicyId};
use schemas::decision::{Action, DecisionRecord, DecisionRequest, Effect, Grants, Principal, ResourceFacts};
use schemas::inventory::Inventory;
use serde_json::{Value, json};

use crate::decision::{evaluate_request, slice_grants};
use crate::foresight::{Foresight, Known, foresee};
use crate::publish::{CompiledSet, compile};
use crate::scenario::Scenario;
use crate::slice::tool_id;
use crate::source::{PolicySource, SourceFile};

/// What an agent was seen to do, and was allowed to.
#[derive(Debug)]
pub struct Use {
    agent: String,
    /// Different requests, by their text without the clock, and how often.
    seen: BTreeMap<String, (DecisionRequest, u64)>,
}

/// Advice for one agent.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Advice {
    /// The agent.
    pub agent: String,
    /// What it used, and how often: tools as `server/tool`, prompts and resources alike.
    pub used: BTreeMap<String, u64>,
    /// Tools that it can call, of those in the inventory.
    pub can_call: Vec<String>,
    /// Those of them that it would no longer be able to call.
    pub taken_away: Vec<String>,
    /// The plain grants that suffice. Where none are needed, other policies permit all that it did.
    pub grants: Grants,
    /// The same as a policy, for an agent without grants; as Cedar text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How many calls were replayed.
    pub replayed: u64,
    /// How many of them are still allowed with these grants.
    pub still_allowed: u64,
    /// How many are still allowed with the policy instead.
    pub still_allowed_by_policy: u64,
}

impl Use {
    /// Starts with nothing seen.
    pub fn of(agent: &str) -> Self {
        Self { agent: agent.to_owned(), seen: BTreeMap::new() }
    }

    /// Takes a record into account, if it is of an access that this agent was allowed.
    pub fn add(&mut self, record: &DecisionRecord) {
        let access =
            matches!(record.request.action, Action::CallTool | Action::GetPrompt | Action::ReadResource);
        let of =
            matches!(&record.request.principal, Principal::Agent(agent) if agent.name.as_str() == self.agent);
        if !of || !access || record.decision.effect != Effect::Allow {
            return;
        }
        let mut request = record.request.clone();
        // An approval is of its time, and so is its call; other calls are the same at any time.
        if request.context.approval.is_none() {
            request.context.now = schemas::ids::Timestamp(0);
        }
        let Ok(key) = schemas::canonical::to_string(&request) else { return };
        let seen = self.seen.entry(key).or_insert_with(|| (record.request.clone(), 0));
        seen.1 += 1;
    }

    /// What to do about it.
    ///
    /// # Errors
    /// The agent is not in the inventory.
    pub fn advise(
        &self,
        source: &PolicySource,
        set: &CompiledSet,
        inventory: &Inventory,
    ) -> Result<Advice, String> {
        let agent = inventory.agents.iter().find(|agent| agent.name.as_str() == self.agent);
        let agent = agent.ok_or_else(|| format!("there is no agent `{}` in the inventory", self.agent))?;
        let grants = self.needed(set);
        let policy = as_policy(&self.agent, &grants, &self.seen)
            .filter(|policy| source.with(&self.agent, policy).is_some());
        let with_policy = policy.as_ref().and_then(|policy| source.with(&self.agent, policy));
        let allowed = |set: &CompiledSet, grants: &Grants| {
            let still = self.seen.values().filter(|(request, _)| is_allowed(set, request, grants));
            still.map(|(_, count)| count).sum()
        };
        let reach = |grants: &Grants| reach(set, inventory, &self.agent, grants);
        let (can_call, would) = (reach(&agent.grants), reach(&grants));
        let taken_away = can_call.iter().filter(|tool| !would.contains(tool)).cloned().collect();
        Ok(Advice {
            agent: self.agent.clone(),
            used: self.used(),
            can_call,
            taken_away,
            replayed: self.seen.values().map(|(_, count)| count).sum(),
            still_allowed: allowed(set, &grants),
            still_allowed_by_policy: with_policy.map_or(0, |set| allowed(&set, &Grants::default())),
            policy,
            grants,
        })
    }

    fn used(&self) -> BTreeMap<String, u64> {
        let mut used = BTreeMap::new();
        for (request, count) in self.seen.values() {
            *used.entry(id(&request.resource)).or_default() += count;
        }
        used
    }

    /// The grants without which some of it would be denied: single tools, and servers for what comes with a server only.
    fn needed(&self, set: &CompiledSet) -> Grants {
        let mut grants = Grants::default();
        for (request, _) in self.seen.values() {
            if is_allowed(set, request, &Grants::default()) {
                continue;
            }
            match (request.resource.tool(), request.resource.server()) {
                (Some(tool), _) => drop(grants.tools.insert(tool_id(tool))),
                (None, Some(server)) => drop(grants.servers.insert(server.name.clone())),
                (None, None) => {}
            }
        }
        grants
    }
}

impl PolicySource {
    /// This source and one policy more, compiled; none if that policy is refused.
    fn with(&self, agent: &str, policy: &str) -> Option<CompiledSet> {
        let mut source = self.clone();
        source.files.push(SourceFile::new(format!("{agent}-as-used.cedar"), policy));
        compile(&source).ok()
    }
}

fn id(resource: &ResourceFacts) -> String {
    match (resource.tool(), resource.server()) {
        (Some(tool), _) => tool_id(tool),
        (None, Some(server)) => format!("{}/{}", server.name, resource.name()),
        (None, None) => resource.name().to_owned(),
    }
}

fn is_allowed(set: &CompiledSet, request: &DecisionRequest, grants: &Grants) -> bool {
    let mut request = request.clone();
    if let Principal::Agent(agent) = &mut request.principal {
        agent.grants = grants.clone();
    }
    slice_grants(&mut request);
    set.trim(&mut request);
    evaluate_request(set, &request).effect == Effect::Allow
}

/// The tools that an agent with these grants could call, on whatever conditions.
fn reach(set: &CompiledSet, inventory: &Inventory, agent: &str, grants: &Grants) -> Vec<String> {
    let mut found = Vec::new();
    for tool in &inventory.tools {
        let scenario = Scenario {
            agent: agent.parse().ok(),
            user: inventory.users.first().map(|user| user.name.clone()),
            tool: Some(tool_id(tool)),
            toolbox: Some(tool.server.toolbox.clone()),
            ..Scenario::default()
        };
        let Ok(mut request) = scenario.request(set, inventory) else { continue };
        if let Principal::Agent(agent) = &mut request.principal {
            agent.grants = grants.clone();
        }
        if foresee(set, &request, &Known::NONE) != Foresight::Deny && !found.contains(&tool_id(tool)) {
            found.push(tool_id(tool));
        }
    }
    found
}

/// One policy that permits what these grants do, built in Cedar's JSON form.
fn as_policy(
    agent: &str,
    grants: &Grants,
    seen: &BTreeMap<String, (DecisionRequest, u64)>,
) -> Option<String> {
    if grants.is_empty() {
        return None;
    }
    let entity = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let action = |name: &str| entity("Ambit::Action", name);
    let permit = |id: String, actions: &[&str], kind: &str, ids: Vec<String>| -> Option<String> {
        let actions: Vec<Value> = actions.iter().map(|name| action(name)).collect();
        let members: Vec<Value> =
            ids.iter().map(|id| json!({ "Value": { "__entity": entity(kind, id) } })).collect();
        let json = json!({
            "effect": "permit",
            "principal": { "op": "==", "entity": entity("Ambit::Agent", agent) },
            "action": { "op": "in", "entities": actions },
            "resource": { "op": "is", "entity_type": kind },
            "annotations": { "id": id },
            "conditions": [{ "kind": "when", "body": {
                "contains": { "left": { "Set": members }, "right": { "Var": "resource" } }
            } }],
        });
        Policy::from_json(Some(PolicyId::new(&id)), json).ok().map(|policy| policy.to_string())
    };
    let mut texts = Vec::new();
    if !grants.tools.is_empty() {
        let tools = grants.tools.iter().cloned().collect();
        texts.push(permit(
            format!("{agent}-tools-as-used"),
            &["callTool", "listTool"],
            "Ambit::Tool",
            tools,
        )?);
    }
    for (kind, suffix, actions) in [
        ("Ambit::Prompt", "prompts", ["getPrompt", "listPrompt"]),
        ("Ambit::Resource", "resources", ["readResource", "listResource"]),
    ] {
        let of_kind = |resource: &ResourceFacts| {
            let prompt = matches!(resource, ResourceFacts::Prompt(_));
            let read = matches!(resource, ResourceFacts::Resource(_));
            (prompt && kind == "Ambit::Prompt") || (read && kind == "Ambit::Resource")
        };
        let needed = |resource: &ResourceFacts| {
            resource.server().is_some_and(|server| grants.servers.contains(&server.name))
        };
        let used = seen.values().map(|(request, _)| &request.resource);
        let ids: std::collections::BTreeSet<String> =
            used.filter(|resource| of_kind(resource) && needed(resource)).map(id).collect();
        if !ids.is_empty() {
            texts.push(permit(
                format!("{agent}-{suffix}-as-used"),
                &actions,
                kind,
                ids.into_iter().collect(),
            )?);
        }
    }
    Some(texts.join("\n\n"))
}
