//! The entity slice: from the typed facts of a request to Cedar's entities, never by way of text or JSON.
//!
//! Cedar skips a policy that errs, forbids too, and a missing entity makes it err: a slice without the user would switch
//! tenant isolation off. So the slice is checked complete before anything is decided: whatever an attribute, a parent or the
//! context refers to is there. Two kinds are exempt: members of enumerated types, which are no more than their id, and an
//! agent's owner, of whom we know the name only; `publish` refuses policies that look any further into an owner.

use cedar_policy::{Context, Entities, Entity, EntityUid, RestrictedExpression as Value};
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
    Incomplete(EntityUid),
    #[error("{0}")]
    Cedar(String),
}

/// Who asks for what under which circumstances, in Cedar's terms.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) principal: EntityUid,
    pub(crate) action: EntityUid,
    pub(crate) resource: EntityUid,
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
                ResourceFacts::Prompt(_) | ResourceFacts::Resource(_) => std::collections::BTreeSet::new(),
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

/// Collects entities, and notes what they refer to.
pub(crate) struct Builder {
    names: &'static Vocabulary,
    pub(crate) entities: Vec<Entity>,
    pub(crate) present: Vec<EntityUid>,
    referenced: Vec<EntityUid>,
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
        let resource = self.resource(&request.resource)?;
        let principal = self.agent(&request.principal, &[&request.resource])?;
        Ok(Request { principal, action, resource, context })
    }

    pub(crate) fn action(&mut self, action: Action) -> Result<EntityUid, SliceError> {
        let entity = self.names.action(action).ok_or(SliceError::Vocabulary)?;
        self.present.push(entity.uid());
        self.entities.push(entity.clone());
        Ok(entity.uid())
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
        Entities::from_entities(self.entities, None).map_err(cedar)
    }

    /// The agent, with those of its plain grants that bear on these resources, which are all of one server.
    pub(crate) fn agent(
        &mut self,
        agent: &AgentFacts,
        resources: &[&ResourceFacts],
    ) -> Result<EntityUid, SliceError> {
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
                grants.tools.contains(&id).then(|| Value::new_entity_uid(uid(&names.tool, &id)))
            }
            ResourceFacts::Tool(_) | ResourceFacts::Prompt(_) | ResourceFacts::Resource(_) => None,
        });
        let org = self.org(&agent.org);
        let mut attributes = vec![
            ("org".to_owned(), Value::new_entity_uid(org.clone())),
            ("status".to_owned(), Value::new_entity_uid(names.status(agent.status))),
            ("grantedToolboxes".to_owned(), Value::new_set(toolbox)),
            ("grantedServers".to_owned(), Value::new_set(granted)),
            ("grantedTools".to_owned(), Value::new_set(tools)),
        ];
        if let Some(owner) = &agent.owner {
            attributes.push(("owner".to_owned(), Value::new_entity_uid(uid(&names.user, owner.as_str()))));
        }
        self.add(uid(&names.agent, agent.name.as_str()), attributes, org)
    }

    /// Organisations have neither attributes nor parents, so an id is all there is to one.
    fn org(&self, org: &OrgFacts) -> EntityUid {
        uid(&self.names.org, org.id.as_str())
    }

    fn user(&mut self, user: &UserFacts) -> Result<EntityUid, SliceError> {
        let org = self.org(&user.org);
        let attributes = vec![
            ("org".to_owned(), Value::new_entity_uid(org.clone())),
            ("status".to_owned(), Value::new_entity_uid(self.names.status(user.status))),
            ("email".to_owned(), Value::new_string(user.email.clone())),
        ];
        self.add(uid(&self.names.user, user.name.as_str()), attributes, org)
    }

    fn server(&mut self, server: &ServerFacts) -> Result<(EntityUid, EntityUid), SliceError> {
        let names = self.names;
        let org = self.org(&server.org);
        let toolbox = uid(&names.toolbox, server.toolbox.as_str());
        let id = uid(&names.mcp_server, server.name.as_str());
        if !self.present.contains(&toolbox) {
            let attributes = vec![("org".to_owned(), Value::new_entity_uid(org.clone()))];
            self.add(toolbox.clone(), attributes, org.clone())?;
        }
        if !self.present.contains(&id) {
            let attributes = vec![
                ("org".to_owned(), Value::new_entity_uid(org.clone())),
                ("status".to_owned(), Value::new_entity_uid(names.status(server.status))),
                ("trust".to_owned(), Value::new_entity_uid(names.trust(server.trust))),
            ];
            self.referenced.push(toolbox.clone());
            self.add(id.clone(), attributes, toolbox)?;
        }
        Ok((id, org))
    }

    pub(crate) fn resource(&mut self, resource: &ResourceFacts) -> Result<EntityUid, SliceError> {
        let (server, org) = self.server(resource.server())?;
        let mut attributes = vec![
            ("org".to_owned(), Value::new_entity_uid(org.clone())),
            ("server".to_owned(), self.refer(&server)),
        ];
        let kind = match resource {
            ResourceFacts::Tool(tool) => {
                self.tool(tool, &mut attributes);
                &self.names.tool
            }
            ResourceFacts::Prompt(_) => &self.names.prompt,
            ResourceFacts::Resource(ItemFacts { name, .. }) => {
                attributes.push(("uri".to_owned(), Value::new_string(name.clone())));
                &self.names.resource
            }
        };
        self.add(uid(kind, &item_id(resource.server(), resource.name())), attributes, server)
    }

    fn tool(&self, tool: &ToolFacts, attributes: &mut Vec<(String, Value)>) {
        let scopes = tool.scopes.iter().map(|scope| Value::new_string(scope.clone()));
        attributes.extend([
            ("state".to_owned(), Value::new_entity_uid(self.names.state(tool.state))),
            ("readOnly".to_owned(), Value::new_bool(tool.read_only)),
            ("destructive".to_owned(), Value::new_bool(tool.destructive)),
            ("idempotent".to_owned(), Value::new_bool(tool.idempotent)),
            ("openWorld".to_owned(), Value::new_bool(tool.open_world)),
            ("scopes".to_owned(), Value::new_set(scopes)),
        ]);
    }

    pub(crate) fn context(&mut self, action: Action, facts: &ContextFacts) -> Result<Context, SliceError> {
        let strings = |set: &std::collections::BTreeSet<String>| {
            Value::new_set(set.iter().map(|text| Value::new_string(text.clone())))
        };
        let org = self.org(&facts.org);
        let mut call = vec![
            ("now".to_owned(), datetime(facts.now)?),
            ("org".to_owned(), Value::new_entity_uid(org.clone())),
            ("tokenScopes".to_owned(), strings(&facts.token_scopes)),
            ("taint".to_owned(), strings(&facts.taint)),
        ];
        if let Some(user) = &facts.user {
            let user = self.user(user)?;
            call.push(("user".to_owned(), self.refer(&user)));
        }
        if let Some(approval) = &facts.approval {
            let by = if facts.user.as_ref() == Some(&approval.by) {
                uid(&self.names.user, approval.by.name.as_str())
            } else {
                self.user(&approval.by)?
            };
            let record = [("by".to_owned(), self.refer(&by)), ("at".to_owned(), datetime(approval.at)?)];
            call.push(("approval".to_owned(), Value::new_record(record).map_err(cedar)?));
        }
        let mut context = vec![("call".to_owned(), Value::new_record(call).map_err(cedar)?)];
        if matches!(action, Action::CallTool | Action::GetPrompt) {
            let id = uid(&self.names.args, "call");
            // Without arguments the entity is left out: `hasTag` is false either way, and it must guard `getTag`.
            if !facts.args.is_empty() {
                let tags =
                    facts.args.iter().map(|(name, text)| (name.clone(), Value::new_string(text.clone())));
                self.present.push(id.clone());
                self.referenced.push(id.clone());
                self.entities.push(Entity::new_with_tags(id.clone(), [], [], tags).map_err(cedar)?);
            }
            context.push(("args".to_owned(), Value::new_entity_uid(id)));
        }
        Context::from_pairs(context).map_err(cedar)
    }

    /// A reference to an entity that must be in the slice.
    fn refer(&mut self, id: &EntityUid) -> Value {
        self.referenced.push(id.clone());
        Value::new_entity_uid(id.clone())
    }

    /// Adds an entity. Its attributes and its parent refer to others by way of `refer`, but for organisations.
    fn add(
        &mut self,
        id: EntityUid,
        attributes: Vec<(String, Value)>,
        parent: EntityUid,
    ) -> Result<EntityUid, SliceError> {
        self.present.push(id.clone());
        self.entities.push(Entity::new_with_tags(id.clone(), attributes, [parent], []).map_err(cedar)?);
        Ok(id)
    }
}

/// `server/name`: the id of a tool, prompt or resource.
pub(crate) fn item_id(server: &ServerFacts, name: &str) -> String {
    let mut id = String::with_capacity(server.name.as_str().len() + 1 + name.len());
    id.push_str(server.name.as_str());
    id.push('/');
    id.push_str(name);
    id
}

fn datetime(at: Timestamp) -> Result<Value, SliceError> {
    instant::text(at).map(Value::new_datetime).ok_or(SliceError::Time(at))
}

#[allow(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn cedar(error: impl std::fmt::Display) -> SliceError {
    SliceError::Cedar(error.to_string())
}
