//! The entities of a slice: one function for each type of the schema.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{EntityUID, Value};
use schemas::decision::{
    AgentFacts, ConnectionFacts, Grants, ItemFacts, OrgFacts, Principal, ResourceFacts, ServerFacts,
    ToolFacts, UserFacts,
};

use super::{Builder, Fields};
use crate::vocabulary::uid;

/// What the grants of an agent are held against: a server, and tools of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reach<'a> {
    pub(crate) server: Option<&'a ServerFacts>,
    pub(crate) tools: &'a [&'a ToolFacts],
}

/// Leaves the grants that bear on these resources. The gateway's SQL does the same; doing it again makes a caller that does not
/// slice as right as one that does, and keeps the record small.
pub(crate) fn slice_grants(grants: &mut Grants, reach: Reach<'_>) {
    if grants.is_empty() {
        return;
    }
    let Some(server) = reach.server else {
        *grants = Grants::default();
        return;
    };
    *grants = Grants {
        toolboxes: grants.toolboxes.take(&server.toolbox).into_iter().collect(),
        servers: grants.servers.take(&server.name).into_iter().collect(),
        tools: reach.tools.iter().filter_map(|tool| grants.tools.take(&tool_id(tool))).collect(),
    };
}

impl Builder<'_> {
    pub(super) fn principal(&mut self, principal: &Principal, reach: Reach<'_>) -> EntityUID {
        match principal {
            Principal::Agent(agent) => self.agent(agent, reach),
            Principal::User(user) => self.user(user),
        }
    }

    /// The agent, with those of its plain grants that bear on the request.
    pub(crate) fn agent(&mut self, agent: &AgentFacts, reach: Reach<'_>) -> EntityUID {
        let names = self.names;
        let AgentFacts { grants, .. } = agent;
        let toolbox = reach.server.filter(|server| grants.toolboxes.contains(&server.toolbox));
        let toolbox = toolbox.map(|server| self.refer(&uid(&names.toolbox, server.toolbox.as_str())));
        let granted = reach.server.filter(|server| grants.servers.contains(&server.name));
        let granted = granted.map(|server| self.refer(&uid(&names.mcp_server, server.name.as_str())));
        // Tools are what is asked about, and so are in the slice.
        let tools = reach.tools.iter().filter_map(|tool| {
            if grants.tools.is_empty() {
                return None;
            }
            let id = tool_id(tool);
            grants.tools.contains(&id).then(|| Value::from(uid(&names.tool, &id)))
        });
        let org = self.org(&agent.org);
        let mut attributes = vec![
            ("org", Value::from(org.clone())),
            ("status", Value::from(names.status(agent.status))),
            ("grantedToolboxes", Value::set(toolbox, None)),
            ("grantedServers", Value::set(granted, None)),
            ("grantedTools", Value::set(tools, None)),
        ];
        if let Some(owner) = &agent.owner {
            attributes.push(("owner", Value::from(uid(&names.user, owner.as_str()))));
        }
        let teams = agent.teams.iter().map(|team| uid(&names.team, team.as_str()));
        self.add(uid(&names.agent, agent.name.as_str()), attributes, org, teams)
    }

    /// Organisations have neither attributes nor parents, so an id is all there is to one.
    pub(super) fn org(&self, org: &OrgFacts) -> EntityUID {
        uid(&self.names.org, org.id.as_str())
    }

    /// The person, unless they are there already as they are here.
    pub(super) fn user(&mut self, user: &UserFacts) -> EntityUID {
        let names = self.names;
        let id = uid(&names.user, user.name.as_str());
        if self.people.contains(user) {
            return id;
        }
        self.people.push(user.clone());
        let org = self.org(&user.org);
        let attributes = vec![
            ("org", Value::from(org.clone())),
            ("status", Value::from(names.status(user.status))),
            ("email", Value::from(user.email.as_str())),
        ];
        let teams = user.teams.iter().map(|team| uid(&names.team, team.as_str()));
        let roles = user.roles.iter().map(|role| uid(&names.role, role.as_str()));
        self.add(id, attributes, org, teams.chain(roles))
    }

    fn toolbox(&mut self, id: &EntityUID, org: &EntityUID) {
        if !self.present.contains(id) {
            self.add(id.clone(), vec![("org", Value::from(org.clone()))], org.clone(), []);
        }
    }

    /// The server and its toolbox, unless they are there, and the ids of server, toolbox and organisation.
    pub(super) fn server(&mut self, server: &ServerFacts) -> [EntityUID; 3] {
        let names = self.names;
        let org = self.org(&server.org);
        let toolbox = uid(&names.toolbox, server.toolbox.as_str());
        let id = uid(&names.mcp_server, server.name.as_str());
        self.toolbox(&toolbox, &org);
        if !self.present.contains(&id) {
            let mut attributes = vec![
                ("org", Value::from(org.clone())),
                ("status", Value::from(names.status(server.status))),
                ("trust", Value::from(names.trust(server.trust))),
            ];
            if let Some(provider) = &server.provider {
                attributes.push(("provider", Value::from(uid(&names.provider, provider.as_str()))));
            }
            self.referenced.push(toolbox.clone());
            self.add(id.clone(), attributes, toolbox.clone(), [org.clone()]);
        }
        [id, toolbox, org]
    }

    pub(crate) fn resource(&mut self, resource: &ResourceFacts) -> EntityUID {
        let names = self.names;
        match resource {
            ResourceFacts::Tool(tool) => self.tool(tool),
            ResourceFacts::Prompt(item) => self.item(&names.prompt, item, vec![]),
            ResourceFacts::Resource(item) => {
                self.item(&names.resource, item, vec![("uri", Value::from(item.name.as_str()))])
            }
            ResourceFacts::Connection(connection) => self.connection(connection),
            ResourceFacts::Org(org) => {
                let id = self.org(org);
                self.present.push(id.clone());
                id
            }
            ResourceFacts::Toolbox(toolbox) => {
                let (id, org) = (uid(&names.toolbox, toolbox.name.as_str()), self.org(&toolbox.org));
                self.toolbox(&id, &org);
                id
            }
            ResourceFacts::Server(server) => {
                let [id, ..] = self.server(server);
                id
            }
            ResourceFacts::User(user) => self.user(user),
        }
    }

    pub(super) fn tool(&mut self, tool: &ToolFacts) -> EntityUID {
        let [server, toolbox, org] = self.server(&tool.server);
        let attributes = vec![
            ("org", Value::from(org.clone())),
            ("server", self.refer(&server)),
            ("state", Value::from(self.names.state(tool.state))),
            ("readOnly", Value::from(tool.read_only)),
            ("destructive", Value::from(tool.destructive)),
            ("idempotent", Value::from(tool.idempotent)),
            ("openWorld", Value::from(tool.open_world)),
            ("scopes", strings(&tool.scopes)),
        ];
        self.add(uid(&self.names.tool, &tool_id(tool)), attributes, server, [toolbox, org])
    }

    fn item(
        &mut self,
        kind: &cedar_policy_core::ast::EntityType,
        item: &ItemFacts,
        mut attributes: Fields,
    ) -> EntityUID {
        let [server, toolbox, org] = self.server(&item.server);
        attributes.extend([("org", Value::from(org.clone())), ("server", self.refer(&server))]);
        self.add(uid(kind, &item_id(&item.server, &item.name)), attributes, server, [toolbox, org])
    }

    fn connection(&mut self, connection: &ConnectionFacts) -> EntityUID {
        let names = self.names;
        let org = self.org(&connection.org);
        let owner = self.user(&connection.owner);
        let mut attributes = vec![
            ("org", Value::from(org.clone())),
            ("owner", self.refer(&owner)),
            ("provider", Value::from(uid(&names.provider, connection.provider.as_str()))),
            ("status", Value::from(names.status(connection.status))),
            ("scopes", strings(&connection.scopes)),
            ("shared", Value::from(connection.shared)),
        ];
        if let Some(team) = &connection.team {
            attributes.push(("team", Value::from(uid(&names.team, team.as_str()))));
        }
        self.add(uid(&names.connection, connection.id.as_str()), attributes, org, [])
    }
}

pub(super) fn strings(texts: &BTreeSet<String>) -> Value {
    Value::set(texts.iter().map(|text| Value::from(text.as_str())), None)
}

/// `server/name`: the id of a prompt or resource.
fn item_id(server: &ServerFacts, name: &str) -> String {
    let mut id = String::with_capacity(server.name.as_str().len() + 1 + name.len());
    id.push_str(server.name.as_str());
    id.push('/');
    id.push_str(name);
    id
}

/// `server/tool`: the id of a tool, and of its typed action.
pub(crate) fn tool_id(tool: &ToolFacts) -> String {
    item_id(&tool.server, &tool.name)
}
