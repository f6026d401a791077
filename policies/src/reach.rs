//! Who can do what, and on which conditions: partial evaluation of the policies with everything known but the circumstances of the
//! call and its arguments. What is left of a policy is the condition, as readable Cedar.
//!
//! Asked is: for a call in the organisation, for an active person of it or for nobody, with a token for every tool (a person who lets a
//! client in may give it less). Cedar's partial evaluation is experimental;
//! nothing but this module uses it, and nothing is decided by it.

use cedar_policy::{
    Effect, EntityUid, PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicySet, Schema,
    TpeResponse,
};
use schemas::decision::{
    Action, AgentFacts, ContextFacts, DecisionRequest, Principal, ResourceFacts, ToolFacts,
};
use schemas::ids::Timestamp;
use schemas::inventory::Inventory;
use serde_json::{Value, json};

use crate::clauses::clauses;
use crate::publish::CompiledSet;
use crate::slice::{self, tool_id};

/// Whether one agent can call one tool.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reach {
    /// The agent.
    pub agent: String,
    /// The tool, as `server/tool`.
    pub tool: String,
    /// The toolbox through which it is called.
    pub toolbox: String,
    /// In one word.
    pub can: Can,
    /// Any one of these must hold. Empty if nothing needs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// None of these may hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<Condition>,
}

/// Whether it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Can {
    /// Whatever the arguments and circumstances are.
    Always,
    /// If the conditions are met.
    Sometimes,
    /// Whatever they are.
    Never,
}

/// What is left of one policy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Condition {
    /// The policy.
    pub policy: String,
    /// What must hold, all of it.
    pub all: Vec<String>,
    /// What would satisfy it otherwise, such as `approval:user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obligation: Option<String>,
}

/// Policies prepared for these questions.
#[derive(Debug)]
pub struct Reaching<'a> {
    set: &'a CompiledSet,
    inventory: &'a Inventory,
    policies: PolicySet,
}

impl<'a> Reaching<'a> {
    /// Prepares the policies of a set for an organisation.
    ///
    /// # Errors
    /// A policy cannot be taken apart: a fault of this build.
    pub fn new(set: &'a CompiledSet, inventory: &'a Inventory) -> Result<Self, String> {
        let known = Known::of(inventory);
        let mut policies = PolicySet::new();
        for policy in set.policies.policies() {
            let mut json = policy.to_json().map_err(|error| error.to_string())?;
            known.put(&mut json);
            let put =
                Policy::from_json(Some(policy.id().clone()), json).map_err(|error| error.to_string())?;
            policies.add(put).map_err(|error| error.to_string())?;
        }
        Ok(Self { set, inventory, policies })
    }

    /// Every agent, and whether it can call this tool.
    ///
    /// # Errors
    /// There is no such tool.
    pub fn who_can(&self, tool: &str) -> Result<Vec<Reach>, String> {
        let mut found = Vec::new();
        for facts in self.inventory.tools.iter().filter(|facts| tool_id(facts) == tool) {
            for agent in &self.inventory.agents {
                found.push(self.reach(agent, facts)?);
            }
        }
        if self.inventory.tools.iter().any(|facts| tool_id(facts) == tool) {
            Ok(found)
        } else {
            Err(self.missing("tool", tool, self.inventory.tools.iter().map(tool_id)))
        }
    }

    /// Every tool, and whether this agent can call it.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn what_can(&self, agent: &str) -> Result<Vec<Reach>, String> {
        let Some(facts) = self.inventory.agents.iter().find(|facts| facts.name.as_str() == agent) else {
            let names = self.inventory.agents.iter().map(|agent| agent.name.to_string());
            return Err(self.missing("agent", agent, names));
        };
        self.inventory.tools.iter().map(|tool| self.reach(facts, tool)).collect()
    }

    fn missing(&self, what: &str, name: &str, known: impl Iterator<Item = String>) -> String {
        let known: Vec<String> = known.collect();
        let hint = crate::check::nearest(name, &known).map(|near| format!("; did you mean `{near}`?"));
        format!(
            "there is no {what} `{name}` in the inventory of `{}`{}",
            self.inventory.org.name,
            hint.unwrap_or_default()
        )
    }

    fn reach(&self, agent: &AgentFacts, tool: &ToolFacts) -> Result<Reach, String> {
        let request = DecisionRequest {
            principal: Principal::Agent(agent.clone()),
            action: Action::CallTool,
            resource: ResourceFacts::Tool(tool.clone()),
            context: ContextFacts::at(Timestamp(0), self.inventory.org.clone()),
        };
        let none = crate::arguments::ArgumentNames::None;
        let mut reach = Reach {
            agent: agent.name.to_string(),
            tool: tool_id(tool),
            toolbox: tool.server.toolbox.to_string(),
            can: Can::Never,
            when: Vec::new(),
            unless: Vec::new(),
        };
        // Where the engine cannot decide, as on another definition than the policies know, it denies.
        let Ok((parts, entities)) = slice::build_knowing(&self.set.typed, &request, &none) else {
            return Ok(reach);
        };
        let schema: &Schema = &self.set.schema;
        let known =
            |uid: cedar_policy_core::ast::EntityUID| PartialEntityUid::from_concrete(EntityUid::from(uid));
        let action = EntityUid::from(parts.action);
        let partial =
            PartialRequest::new(known(parts.principal), action, known(parts.resource), None, schema)
                .map_err(|error| error.to_string())?;
        let without_actions: Vec<cedar_policy::Entity> = entities
            .iter()
            .filter(|entity| entity.uid().type_name().to_string() != "Ambit::Action")
            .cloned()
            .collect();
        let entities = cedar_policy::Entities::from_entities(without_actions, Some(schema))
            .map_err(|error| error.to_string())?;
        let entities = PartialEntities::from_concrete(entities, schema).map_err(|error| error.to_string())?;
        let answer = self.policies.tpe(&partial, &entities, schema).map_err(|error| error.to_string())?;
        self.read(&answer, &mut reach);
        Ok(reach)
    }

    /// What partial evaluation left.
    fn read(&self, answer: &TpeResponse<'_>, reach: &mut Reach) {
        if answer.true_forbids().next().is_some() {
            // Some are only until an obligation is met, but then they look at the approval, and are not simply true.
            return;
        }
        let permitted = answer.true_permits().next().is_some();
        let left = |effect: Effect| {
            let mut conditions: Vec<Condition> = answer
                .residual_policies()
                .filter(|policy| policy.effect() == effect)
                .map(|policy| self.condition(&policy))
                // Partial evaluation leaves `x && false` as it is, since `x` might fail, and that denies.
                .filter(|condition| !condition.all.iter().any(|text| text == "false"))
                .collect();
            conditions.sort_by(|a, b| a.policy.cmp(&b.policy));
            conditions
        };
        reach.unless = left(Effect::Forbid);
        if !permitted {
            reach.when = left(Effect::Permit);
        }
        reach.can = match (permitted || !reach.when.is_empty(), permitted && reach.unless.is_empty()) {
            (false, _) => Can::Never,
            (true, true) => Can::Always,
            (true, false) => Can::Sometimes,
        };
        if reach.can == Can::Never {
            reach.unless.clear();
        }
    }

    fn condition(&self, policy: &Policy) -> Condition {
        let id = policy.id().to_string();
        let texts: Vec<String> = clauses(policy).iter().map(|clause| plain(&clause.text())).collect();
        // That an argument is there goes without saying where something is said of it.
        let said = |text: &String| {
            text.strip_suffix(')').and_then(|text| text.split_once(".hasTag(")).is_some_and(|(of, name)| {
                texts.iter().any(|other| other.contains(&format!("{of}.getTag({name})")))
            }) || text.split_once(" has ").is_some_and(|(of, name)| {
                let member = format!("{of}.{name}");
                !text.starts_with('!') && texts.iter().any(|other| other != text && other.contains(&member))
            })
        };
        let obligation = self.set.annotation(&id, "obligation").map(str::to_owned);
        // What meets an obligation is told by its name.
        let met = |text: &String| obligation.is_some() && text.starts_with("!(") && text.contains("approval");
        let all = texts.iter().filter(|text| !said(text) && !met(text)).cloned().collect();
        Condition { all, obligation, policy: id }
    }
}

/// Without the brackets that hold the whole.
fn plain(text: &str) -> String {
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let whole = |inner: &&str| {
        let mut depth = 0_i32;
        inner.chars().all(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth >= 0
        })
    };
    inner.filter(whole).unwrap_or(text).to_owned()
}

/// What is known of the circumstances, though the rest of them is not: put into the policies, since Cedar takes a context whole or
/// not at all.
struct Known(Vec<(Value, Value)>);

impl Known {
    fn of(inventory: &Inventory) -> Self {
        let get = |of: Value, name: &str| json!({ ".": { "left": of, "attr": name } });
        let call = || get(json!({ "Var": "context" }), "call");
        let user = || get(call(), "user");
        let entity = |kind: &str, id: &str| json!({ "Value": { "__entity": { "type": kind, "id": id } } });
        let org = || entity("Ambit::Org", inventory.org.id.as_str());
        Self(vec![
            (get(call(), "org"), org()),
            (get(user(), "org"), org()),
            (get(user(), "status"), entity("Ambit::Status", "active")),
            (
                json!({ "contains": { "left": get(call(), "tokenScopes"), "right": { "Value": "mcp:write" } } }),
                json!({ "Value": true }),
            ),
        ])
    }

    fn put(&self, node: &mut Value) {
        if let Some((_, value)) = self.0.iter().find(|(expression, _)| expression == node) {
            *node = value.clone();
            return;
        }
        match node {
            Value::Object(fields) => fields.values_mut().for_each(|value| self.put(value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.put(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
