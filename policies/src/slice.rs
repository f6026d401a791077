//! The entity slice: from the typed facts of a request to Cedar's entities, never by way of text or JSON.
//!
//! Cedar skips a policy that errs, forbids too, and a missing entity makes it err: a slice without the user would switch
//! tenant isolation off. So the slice is checked complete before anything is decided: whatever an attribute, a parent or the
//! context refers to is there. Two kinds are exempt: members of enumerated types, which are no more than their id, and an
//! agent's owner, of whom we know the name only; `publish` refuses policies that look any further into an owner.
//!
//! This file builds Cedar's own values. By way of `cedar_policy` every time would parse the word `datetime`, every
//! attribute be evaluated as an expression, every slice be searched for cycles and every request be held against the schema:
//! half of a decision, all for what follows from the types here. Tests hold what is built against `cedar_policy` and the schema.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::Entities;
use cedar_policy_core::ast::{Context, Entity, EntityUID, EntityUIDEntry, PartialValue, Value};
use cedar_policy_core::entities::{Entities as CoreEntities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use schemas::decision::{
    Action, AgentFacts, ContextFacts, DecisionRequest, Grants, ItemFacts, OrgFacts, ResourceFacts,
    ServerFacts, ToolFacts, UserFacts,
};
use schemas::ids::Timestamp;

use crate::instant;
use crate::vocabulary::{Vocabulary, uid};

/// Why no slice could be made. Every reason denies.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SliceError {
    #[error("the names of the policy schema do not parse")]
    Vocabulary,
    #[error("the time {} ms is outside the years 0 to 9999", .0.0)]
    Time(Timestamp),
    #[error("the slice lacks `{0}`, to which it refers")]
    Incomplete(EntityUID),
    #[error("{0}")]
    Cedar(String),
}

/// Who asks for what under which circumstances, in Cedar's terms.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) principal: EntityUID,
    pub(crate) action: EntityUID,
    pub(crate) resource: EntityUID,
    pub(crate) context: Context,
}

/// Leaves the grants that bear on this resource. The gateway's SQL does the same; doing it again makes a caller that does
/// not slice as right as one that does, and keeps the record small.
pub(crate) fn slice_grants(grants: &mut Grants, resource: &ResourceFacts) {
    let server = resource.server();
    if grants.toolboxes.len() + grants.servers.len() + grants.tools.len() > 0 {
        *grants = Grants {
            toolboxes: grants.toolboxes.take(&server.toolbox).into_iter().collect(),
            servers: grants.servers.take(&server.name).into_iter().collect(),
            tools: match resource {
                ResourceFacts::Tool(tool) => {
                    grants.tools.take(&item_id(server, &tool.name)).into_iter().collect()
                }
                ResourceFacts::Prompt(_) | ResourceFacts::Resource(_) => BTreeSet::new(),
            },
        };
    }
}

/// Makes the slice of one request.
pub(crate) fn build(request: &DecisionRequest) -> Result<(Request, Entities), SliceError> {
    let mut builder = Builder::new()?;
    let request = builder.request(request)?;
    let entities = builder.finish(&request)?;
    Ok((request, entities))
}

impl Request {
    pub(crate) fn into_cedar(self) -> cedar_policy::Request {
        let known = |uid| EntityUIDEntry::known(uid, None);
        let Self { principal, action, resource, context } = self;
        let (principal, action, resource) = (known(principal), known(action), known(resource));
        cedar_policy_core::ast::Request::new_unchecked(principal, action, resource, Some(context)).into()
    }
}

/// Attributes of an entity, or fields of a record.
type Fields = Vec<(&'static str, Value)>;

/// Collects entities, and notes what they refer to.
pub(crate) struct Builder {
    names: &'static Vocabulary,
    pub(crate) entities: Vec<Entity>,
    pub(crate) present: Vec<EntityUID>,
    referenced: Vec<EntityUID>,
}

impl Builder {
    pub(crate) fn new() -> Result<Self, SliceError> {
        let names = Vocabulary::get().ok_or(SliceError::Vocabulary)?;
        Ok(Self {
            names,
            entities: Vec::with_capacity(8),
            present: Vec::with_capacity(8),
            referenced: Vec::with_capacity(8),
        })
    }

    pub(crate) fn request(&mut self, request: &DecisionRequest) -> Result<Request, SliceError> {
        let action = self.action(request.action)?;
        let context = self.context(request.action, &request.context)?;
        let resource = self.resource(&request.resource);
        let principal = self.agent(&request.principal, &[&request.resource]);
        Ok(Request { principal, action, resource, context })
    }

    pub(crate) fn action(&mut self, action: Action) -> Result<EntityUID, SliceError> {
        let entity = self.names.action(action).ok_or(SliceError::Vocabulary)?;
        self.present.push(entity.uid().clone());
        self.entities.push(entity.clone());
        Ok(entity.uid().clone())
    }

    /// Checks that the slice is complete, and hands it to Cedar.
    pub(crate) fn finish(self, request: &Request) -> Result<Entities, SliceError> {
        let asked = [&request.principal, &request.action, &request.resource];
        let missing = self.referenced.iter().chain(asked).find(|uid| !self.present.contains(uid));
        if let Some(missing) = missing {
            return Err(SliceError::Incomplete(missing.clone()));
        }
        self.finish_unchecked()
    }

    pub(crate) fn finish_unchecked(self) -> Result<Entities, SliceError> {
        // Two different people under one name (of two organisations, say) are an error here, and so deny.
        let (schema, extensions) = (None::<&NoEntitiesSchema>, Extensions::all_available());
        let closed = TCComputation::AssumeAlreadyComputed;
        let entities = CoreEntities::from_entities(self.entities, schema, closed, extensions);
        entities.map(Entities::from).map_err(|error| SliceError::Cedar(error.to_string()))
    }

    /// The agent, with those of its plain grants that bear on these resources, which are all of one server.
    pub(crate) fn agent(&mut self, agent: &AgentFacts, resources: &[&ResourceFacts]) -> EntityUID {
        let names = self.names;
        let AgentFacts { grants, .. } = agent;
        let server = resources.first().map(|resource| resource.server());
        let toolbox = server.filter(|server| grants.toolboxes.contains(&server.toolbox));
        let toolbox = toolbox.map(|server| self.refer(&uid(&names.toolbox, server.toolbox.as_str())));
        let granted = server.filter(|server| grants.servers.contains(&server.name));
        let granted = granted.map(|server| self.refer(&uid(&names.mcp_server, server.name.as_str())));
        // Tools are what is asked about, and so are in the slice.
        let tools = resources.iter().filter_map(|resource| match resource {
            ResourceFacts::Tool(tool) if !grants.tools.is_empty() => {
                let id = item_id(&tool.server, &tool.name);
                grants.tools.contains(&id).then(|| Value::from(uid(&names.tool, &id)))
            }
            ResourceFacts::Tool(_) | ResourceFacts::Prompt(_) | ResourceFacts::Resource(_) => None,
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
        self.add(uid(&names.agent, agent.name.as_str()), attributes, org, [])
    }

    /// Organisations have neither attributes nor parents, so an id is all there is to one.
    fn org(&self, org: &OrgFacts) -> EntityUID {
        uid(&self.names.org, org.id.as_str())
    }

    fn user(&mut self, user: &UserFacts) -> EntityUID {
        let org = self.org(&user.org);
        let attributes = vec![
            ("org", Value::from(org.clone())),
            ("status", Value::from(self.names.status(user.status))),
            ("email", Value::from(user.email.as_str())),
        ];
        self.add(uid(&self.names.user, user.name.as_str()), attributes, org, [])
    }

    /// The server and its toolbox, unless they are there, and the ids of server, toolbox and organisation.
    fn server(&mut self, server: &ServerFacts) -> [EntityUID; 3] {
        let names = self.names;
        let org = self.org(&server.org);
        let toolbox = uid(&names.toolbox, server.toolbox.as_str());
        let id = uid(&names.mcp_server, server.name.as_str());
        if !self.present.contains(&toolbox) {
            self.add(toolbox.clone(), vec![("org", Value::from(org.clone()))], org.clone(), []);
        }
        if !self.present.contains(&id) {
            let attributes = vec![
                ("org", Value::from(org.clone())),
                ("status", Value::from(names.status(server.status))),
                ("trust", Value::from(names.trust(server.trust))),
            ];
            self.referenced.push(toolbox.clone());
            self.add(id.clone(), attributes, toolbox.clone(), [org.clone()]);
        }
        [id, toolbox, org]
    }

    pub(crate) fn resource(&mut self, resource: &ResourceFacts) -> EntityUID {
        let [server, toolbox, org] = self.server(resource.server());
        let mut attributes = vec![("org", Value::from(org.clone())), ("server", self.refer(&server))];
        let kind = match resource {
            ResourceFacts::Tool(tool) => {
                self.tool(tool, &mut attributes);
                &self.names.tool
            }
            ResourceFacts::Prompt(_) => &self.names.prompt,
            ResourceFacts::Resource(ItemFacts { name, .. }) => {
                attributes.push(("uri", Value::from(name.as_str())));
                &self.names.resource
            }
        };
        let id = uid(kind, &item_id(resource.server(), resource.name()));
        self.add(id, attributes, server, [toolbox, org])
    }

    fn tool(&self, tool: &ToolFacts, attributes: &mut Fields) {
        attributes.extend([
            ("state", Value::from(self.names.state(tool.state))),
            ("readOnly", Value::from(tool.read_only)),
            ("destructive", Value::from(tool.destructive)),
            ("idempotent", Value::from(tool.idempotent)),
            ("openWorld", Value::from(tool.open_world)),
            ("scopes", strings(&tool.scopes)),
        ]);
    }

    pub(crate) fn context(&mut self, action: Action, facts: &ContextFacts) -> Result<Context, SliceError> {
        let org = self.org(&facts.org);
        let mut call: Fields = vec![
            ("now", self.datetime(facts.now)?),
            ("org", Value::from(org)),
            ("tokenScopes", strings(&facts.token_scopes)),
            ("taint", strings(&facts.taint)),
        ];
        if let Some(user) = &facts.user {
            let user = self.user(user);
            call.push(("user", self.refer(&user)));
        }
        if let Some(approval) = &facts.approval {
            let by = if facts.user.as_ref() == Some(&approval.by) {
                uid(&self.names.user, approval.by.name.as_str())
            } else {
                self.user(&approval.by)
            };
            let record = [("by", self.refer(&by)), ("at", self.datetime(approval.at)?)];
            call.push(("approval", Value::record(record, None)));
        }
        let mut context: Fields = vec![("call", Value::record(call, None))];
        if matches!(action, Action::CallTool | Action::GetPrompt) {
            let id = uid(&self.names.args, "call");
            // Without arguments the entity is left out: `hasTag` is false either way, and it must guard `getTag`.
            if !facts.args.is_empty() {
                let tag = |(name, text): (&String, &String)| {
                    (name.as_str().into(), PartialValue::from(Value::from(text.as_str())))
                };
                let (none, tags) = (HashSet::new, facts.args.iter().map(tag));
                self.present.push(id.clone());
                self.referenced.push(id.clone());
                self.entities.push(Entity::new_with_attr_partial_value(id.clone(), [], none(), none(), tags));
            }
            context.push(("args", Value::from(id)));
        }
        let fields = context.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Ok(Context::Value(std::sync::Arc::new(fields)))
    }

    fn datetime(&self, at: Timestamp) -> Result<Value, SliceError> {
        let text = instant::text(at).ok_or(SliceError::Time(at))?;
        let value = Extensions::all_available()
            .func(&self.names.datetime)
            .map_err(|error| SliceError::Cedar(error.to_string()))?
            .call(&[Value::from(text)])
            .map_err(|error| SliceError::Cedar(error.to_string()))?;
        match value {
            PartialValue::Value(value) => Ok(value),
            PartialValue::Residual(_) => Err(SliceError::Time(at)),
        }
    }

    /// A reference to an entity that must be in the slice.
    fn refer(&mut self, id: &EntityUID) -> Value {
        self.referenced.push(id.clone());
        Value::from(id.clone())
    }

    /// Adds an entity below its parent and the parent's ancestors.
    fn add<const N: usize>(
        &mut self,
        id: EntityUID,
        attributes: Fields,
        parent: EntityUID,
        further: [EntityUID; N],
    ) -> EntityUID {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), PartialValue::from(value)));
        let (further, parents) = (HashSet::from(further), HashSet::from([parent]));
        self.present.push(id.clone());
        self.entities.push(Entity::new_with_attr_partial_value(id.clone(), attributes, further, parents, []));
        id
    }
}

fn strings(texts: &BTreeSet<String>) -> Value {
    Value::set(texts.iter().map(|text| Value::from(text.as_str())), None)
}

/// `server/name`: the id of a tool, prompt or resource.
pub(crate) fn item_id(server: &ServerFacts, name: &str) -> String {
    let mut id = String::with_capacity(server.name.as_str().len() + 1 + name.len());
    id.push_str(server.name.as_str());
    id.push('/');
    id.push_str(name);
    id
}
