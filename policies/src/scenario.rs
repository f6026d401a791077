//! A request told by names, as people tell it: agent `oncall`, for `ann`, calls `slack/post` with these arguments. What the engine
//! needs to know besides comes from an inventory.

use std::collections::BTreeSet;

use schemas::decision::{
    Action, Approval, ContextFacts, DecisionRequest, ItemFacts, Principal, ResourceFacts, ServerFacts,
    ToolFacts, ToolboxFacts, UserFacts,
};
use schemas::ids::Timestamp;
use schemas::inventory::Inventory;
use schemas::names::{AgentName, ServerName, ToolboxName, UserName};
use serde_json::Value;

use crate::instant;
use crate::publish::CompiledSet;
use crate::slice::tool_id;

/// Who asks for what. An agent asks, on behalf of the person if there is one; without an agent the person asks.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The agent.
    pub agent: Option<AgentName>,
    /// The person.
    pub user: Option<UserName>,
    /// What is done; by default what one does with such a thing: `callTool`, `getPrompt`, `readResource`.
    pub action: Option<Action>,
    /// To a tool, as `server/tool`.
    pub tool: Option<String>,
    /// To a prompt, as `server/prompt`.
    pub prompt: Option<String>,
    /// To a resource, as `server/uri`.
    pub resource: Option<String>,
    /// To a server.
    pub server: Option<ServerName>,
    /// To a toolbox; beside one of the others, the toolbox through which it is used.
    pub toolbox: Option<ToolboxName>,
    /// The arguments, as they are sent.
    pub args: Option<Value>,
    /// When, such as `2026-11-23T10:00:00Z`; by default at noon on 1 January 2026.
    pub at: Option<String>,
    /// Who approved the call, a minute before.
    pub approved_by: Option<UserName>,
    /// Labels of what the conversation has read.
    #[serde(default)]
    pub taint: BTreeSet<String>,
    /// Scopes of the token.
    #[serde(default)]
    pub token_scopes: BTreeSet<String>,
    /// The OAuth client through which the agent acts for the person (`actFor`).
    pub client: Option<String>,
}

/// 2026-01-01T12:00:00Z: a test must not come out otherwise tomorrow.
const NOON: Timestamp = Timestamp(1_767_268_800_000);

impl Scenario {
    /// The request, with the facts of an inventory and those arguments that the policies look into.
    ///
    /// # Errors
    /// Something that is named is not there, or what is told makes no request.
    pub fn request(&self, set: &CompiledSet, inventory: &Inventory) -> Result<DecisionRequest, String> {
        let user = self.user.as_ref().map(|name| person(inventory, name)).transpose()?;
        let principal = match (&self.agent, &user) {
            (Some(name), _) => {
                let agent = inventory.agents.iter().find(|agent| agent.name == *name);
                Principal::Agent(agent.ok_or_else(|| missing("agent", name))?.clone())
            }
            (None, Some(user)) => Principal::User(user.clone()),
            (None, None) => return Err("say who asks: an `agent`, or a `user`".to_owned()),
        };
        let (action, resource) = self.what(inventory, user.as_ref())?;
        if action.is_of_agents() != principal.agent().is_some() {
            let who = if action.is_of_agents() { "agents" } else { "people" };
            return Err(format!("`{}` is done by {who}", action.as_str()));
        }
        let now = match &self.at {
            Some(text) => instant::read(text)
                .ok_or_else(|| format!("`{text}` is no time; write it as `2026-11-23T10:00:00Z`"))?,
            None => NOON,
        };
        let approval = match &self.approved_by {
            Some(name) => Some(Approval { by: person(inventory, name)?, at: now.plus(-60_000) }),
            None => None,
        };
        let mut context = ContextFacts {
            now,
            org: inventory.org.clone(),
            user: if self.agent.is_some() || action == Action::ApproveCall { user } else { None },
            token_scopes: self.token_scopes.clone(),
            taint: self.taint.clone(),
            approval,
            args: std::collections::BTreeMap::new(),
            input: std::collections::BTreeMap::new(),
            client: self.client.clone(),
            server: None,
            tool: None,
            publication: None,
        };
        if let Some(arguments) = &self.args {
            context.args = set.argument_names().select(arguments).map_err(|error| error.to_string())?;
            if let Some(tool) = resource.tool() {
                context.input = set.select_input(tool, arguments);
            }
        }
        Ok(DecisionRequest { principal, action, resource, context })
    }

    fn what(
        &self,
        inventory: &Inventory,
        user: Option<&UserFacts>,
    ) -> Result<(Action, ResourceFacts), String> {
        let named = [&self.tool, &self.prompt, &self.resource].into_iter().flatten().count();
        if named + usize::from(self.server.is_some()) > 1 {
            return Err("name one thing: `tool`, `prompt`, `resource` or `server`".to_owned());
        }
        let (usual, resource) = if self.action == Some(Action::ActFor) {
            if named > 0 || self.server.is_some() || self.toolbox.is_some() {
                return Err("`actFor` is asked of a `user`; leave the rest away".to_owned());
            }
            let user = user.ok_or("say for whom the agent acts: a `user`")?;
            if self.client.is_none() {
                return Err("say through which OAuth `client` the agent acts".to_owned());
            }
            (Action::ActFor, ResourceFacts::User(user.clone()))
        } else if let Some(id) = &self.tool {
            (Action::CallTool, ResourceFacts::Tool(self.tool(inventory, id)?))
        } else if let Some(id) = &self.prompt {
            (Action::GetPrompt, ResourceFacts::Prompt(self.item(inventory, id)?))
        } else if let Some(id) = &self.resource {
            (Action::ReadResource, ResourceFacts::Resource(self.item(inventory, id)?))
        } else if let Some(name) = &self.server {
            (Action::Deploy, ResourceFacts::Server(self.server(inventory, name)?))
        } else if let Some(name) = &self.toolbox {
            let toolbox = ToolboxFacts { name: name.clone(), org: inventory.org.clone() };
            (Action::Deploy, ResourceFacts::Toolbox(toolbox))
        } else {
            (Action::Administer, ResourceFacts::Org(inventory.org.clone()))
        };
        Ok((self.action.unwrap_or(usual), resource))
    }

    fn through(&self, server: &ServerFacts) -> bool {
        self.toolbox.as_ref().is_none_or(|toolbox| server.toolbox == *toolbox)
    }

    fn tool(&self, inventory: &Inventory, id: &str) -> Result<ToolFacts, String> {
        let tool = inventory.tools.iter().find(|tool| tool_id(tool) == id && self.through(&tool.server));
        tool.cloned().ok_or_else(|| missing("tool", id))
    }

    fn server(&self, inventory: &Inventory, name: &ServerName) -> Result<ServerFacts, String> {
        let server = inventory.servers.iter().find(|server| server.name == *name && self.through(server));
        server.cloned().ok_or_else(|| missing("server", name))
    }

    fn item(&self, inventory: &Inventory, id: &str) -> Result<ItemFacts, String> {
        let (server, name) =
            id.split_once('/').ok_or_else(|| format!("`{id}` names no server; write `server/name`"))?;
        let server: ServerName = server.parse().map_err(|_| missing("server", server))?;
        Ok(ItemFacts { name: name.to_owned(), server: self.server(inventory, &server)? })
    }
}

fn person(inventory: &Inventory, name: &UserName) -> Result<UserFacts, String> {
    let user = inventory.users.iter().find(|user| user.name == *name);
    user.cloned().ok_or_else(|| missing("person", name))
}

fn missing(what: &str, name: impl std::fmt::Display) -> String {
    format!("there is no {what} `{name}` in the inventory")
}
