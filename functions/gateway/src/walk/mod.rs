//! The one walk of a request: who asks, for what, may they, and the record of it before anything happens.

mod account;
mod acting;
mod approval;
mod foresight;
mod scope;

pub(crate) use account::{Lack, Recorded, Unrecorded, Using, Whose, Why};
pub(crate) use acting::acting;
pub(crate) use approval::{Brought, Prospect, Reply, Round, Settled, ToolCall};
pub(crate) use scope::Scopes;

use std::collections::BTreeMap;
use std::rc::Rc;

use policies::{CompiledSet, Denial, Permit};
use schemas::audit::Subject;
use schemas::decision::{
    Action, AgentFacts, Approval, ContextFacts, DecisionRequest, Grants, ItemFacts, Principal, ResourceFacts,
};
use schemas::ids::{EventId, Sha256Hex};
use schemas::names::{OrgName, ToolboxName};

use crate::Gateway;
use crate::approvals::OBLIGATION;
use crate::audit::{self, About};
use crate::identity::{self, Caller, IdentityError};
use crate::platform::{Platform, PlatformError};
use crate::store;
use crate::store::callers::Credential;
use crate::store::targets::Found;
use crate::toolboxes::{Server, Tool, Toolbox};

/// Why a walk ended before its answer. What the caller is told is the surface's business.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nobody proved who is calling.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no such toolbox, or it is another organisation's: told alike.
    #[error("no toolbox `{0}` for this agent")]
    NoToolbox(String),
    /// There is no such thing, or it is not for this caller: told alike.
    #[error("unknown {what}")]
    Unknown {
        what: String,
        /// Where the trail has the reason; nowhere for what was not even asked about.
        reference: Option<EventId>,
    },
    /// It would be allowed if something were done first, for which there is no way to ask from here.
    #[error("this call needs {}", .needs.join(" and "))]
    Needs { needs: Vec<String>, reference: EventId },
    /// It would be allowed, or a person asked, if the token had scopes that it lacks.
    #[error("{scopes}")]
    OutOfScope { scopes: Scopes, reference: EventId },
    /// Policies or records are out of reach, so nothing may happen.
    #[error("the gateway can't decide or record at the moment; nothing was done, try again")]
    Platform(String),
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        Self::Platform(error.to_string())
    }
}

/// A caller inside a toolbox.
#[derive(Debug)]
pub(crate) struct Visit<'g, P: Platform> {
    pub(crate) gateway: &'g Gateway,
    pub(crate) platform: &'g P,
    pub(crate) caller: Caller,
    pub(crate) toolbox: Toolbox,
    pub(crate) policies: Rc<CompiledSet>,
    /// A draft on trial: it decides beside the policies, and only for the record.
    pub(crate) shadow: Option<Rc<CompiledSet>>,
    pub(crate) traceparent: Option<String>,
}

/// Where a request is addressed, and how it proves who sent it.
#[derive(Debug)]
pub(crate) struct Address<'a> {
    pub(crate) org: &'a OrgName,
    pub(crate) toolbox: &'a ToolboxName,
    pub(crate) credential: &'a Credential,
    /// The MCP method, for the trail.
    pub(crate) method: &'static str,
    pub(crate) traceparent: Option<String>,
}

/// Steps 2 and 3: from what the store found to a caller inside a toolbox.
pub(crate) async fn enter<'g, P: Platform, T>(
    gateway: &'g Gateway,
    platform: &'g P,
    address: Address<'_>,
    found: Found<T>,
) -> Result<(Visit<'g, P>, T), Refusal> {
    // A key of one toolbox is unknown at every other.
    let here = found.toolbox.as_ref().map(|toolbox| &toolbox.id);
    let known = found.caller.filter(|known| known.toolbox.is_none() || known.toolbox.as_ref() == here);
    let caller = identity::caller(address.credential, known)?;
    let toolbox = match found.toolbox {
        Some(toolbox) if toolbox.org.id == caller.agent.org.id => toolbox,
        other => {
            let about = About {
                org: caller.agent.org.id.clone(),
                actor: caller.actor(),
                method: address.method.to_owned(),
                subject: Some(Subject { toolbox: Some(address.toolbox.clone()), server: None, name: None }),
                arguments: None,
                traceparent: address.traceparent,
            };
            let reason = if other.is_some() {
                format!("the toolbox belongs to organisation `{}`", address.org)
            } else {
                format!("there is no such toolbox in organisation `{}`", address.org)
            };
            audit::refuse(platform, &about, &reason).await?;
            return Err(Refusal::NoToolbox(address.toolbox.to_string()));
        }
    };
    let policies = gateway.policy_set(platform, &toolbox.policy_set).await?;
    let shadow = match &toolbox.shadow_set {
        // A draft that can't be had is no reason to stop anybody's work.
        Some(hash) => gateway.policy_set(platform, hash).await.ok(),
        None => None,
    };
    let traceparent = address.traceparent;
    let visit = Visit { gateway, platform, caller, toolbox, policies, shadow, traceparent };
    visit.check_acting(address.credential, address.method).await?;
    Ok((visit, found.rest))
}

impl<P: Platform> Visit<'_, P> {
    /// What the trail says this is about.
    pub(crate) fn about(
        &self,
        method: &str,
        server: Option<&Server>,
        name: Option<&str>,
        arguments: Option<&str>,
    ) -> About {
        About {
            org: self.toolbox.org.id.clone(),
            actor: self.caller.actor(),
            method: method.to_owned(),
            subject: Some(Subject {
                toolbox: Some(self.toolbox.name.clone()),
                server: server.map(|server| server.name.clone()),
                name: name.map(|name| name.chars().take(200).collect()),
            }),
            arguments: arguments.map(|arguments| Sha256Hex::of(arguments.as_bytes())),
            traceparent: self.traceparent.clone(),
        }
    }

    /// The caller as principal, with the plain grants that the store found to bear on this.
    pub(crate) fn principal<'t>(
        &self,
        servers: impl Iterator<Item = &'t Server>,
        tools: impl Iterator<Item = (&'t Server, &'t Tool)>,
    ) -> AgentFacts {
        let mut grants = Grants::default();
        if self.toolbox.granted {
            grants.toolboxes.insert(self.toolbox.name.clone());
        }
        grants.servers.extend(servers.filter(|server| server.granted).map(|server| server.name.clone()));
        grants.tools.extend(
            tools
                .filter(|(_, tool)| tool.granted)
                .map(|(server, tool)| format!("{}/{}", server.name, tool.name)),
        );
        AgentFacts { grants, ..self.caller.agent.clone() }
    }

    /// The circumstances of a request without arguments.
    pub(crate) fn context(&self) -> ContextFacts {
        ContextFacts {
            user: self.caller.user.clone(),
            token_scopes: self.caller.scopes.clone(),
            ..ContextFacts::at(self.platform.now(), self.toolbox.org.clone())
        }
    }

    /// What the policies are asked about a call of a tool. They are shown its arguments as far as they look into them; an approval is
    /// one that was verified, or one that is only supposed.
    pub(crate) fn tool_request(
        &self,
        server: &Server,
        tool: &Tool,
        arguments: Option<&str>,
        approval: Option<Approval>,
    ) -> Result<DecisionRequest, Refusal> {
        let facts = tool.facts(server, &self.toolbox);
        let mut context = ContextFacts { approval, ..self.context() };
        if let Some(arguments) = arguments
            && self.sets().any(|set| set.looks_into(&facts))
        {
            let value = serde_json::from_str(arguments).unwrap_or_default();
            context.args = self.select(&value)?;
            context.input = self.sets().flat_map(|set| set.select_input(&facts, &value)).collect();
        }
        let principal = self.principal([server].into_iter(), [(server, tool)].into_iter());
        Ok(DecisionRequest {
            principal: Principal::Agent(principal),
            action: Action::CallTool,
            resource: ResourceFacts::Tool(facts),
            context,
        })
    }

    /// What the policies are asked about one prompt or resource.
    pub(crate) fn item_request(
        &self,
        action: Action,
        server: &Server,
        name: &str,
        arguments: Option<&str>,
    ) -> Result<DecisionRequest, Refusal> {
        let mut context = self.context();
        if let Some(arguments) = arguments {
            context.args = self.select(&serde_json::from_str(arguments).unwrap_or_default())?;
        }
        let principal = self.principal([server].into_iter(), std::iter::empty());
        Ok(DecisionRequest {
            principal: Principal::Agent(principal),
            action,
            resource: self.item(action, server, name),
            context,
        })
    }

    fn select(&self, arguments: &serde_json::Value) -> Result<BTreeMap<String, String>, Refusal> {
        let mut selected = BTreeMap::new();
        for set in self.sets() {
            let args = set.argument_names().select(arguments);
            selected
                .extend(args.map_err(|error| Refusal::Unknown { what: error.to_string(), reference: None })?);
        }
        Ok(selected)
    }

    /// The policies, and the draft on trial if there is one: what either looks into is shown to both, and is on record.
    fn sets(&self) -> impl Iterator<Item = &CompiledSet> {
        std::iter::once(&*self.policies).chain(self.shadow.as_deref())
    }

    /// Asks the policies, and the draft on trial beside them.
    fn decide(&self, request: DecisionRequest) -> Result<Permit, Denial> {
        policies::decide_beside(&self.policies, self.shadow.as_deref(), request)
    }

    /// Step 4 for one tool.
    pub(crate) fn decide_tool(
        &self,
        server: &Server,
        tool: &Tool,
        arguments: Option<&str>,
        approval: Option<Approval>,
    ) -> Result<Result<Permit, Denial>, Refusal> {
        Ok(self.decide(self.tool_request(server, tool, arguments, approval)?))
    }

    /// Step 4 for one prompt or resource.
    pub(crate) fn decide_item(
        &self,
        action: Action,
        server: &Server,
        name: &str,
        arguments: Option<&str>,
    ) -> Result<Result<Permit, Denial>, Refusal> {
        Ok(self.decide(self.item_request(action, server, name, arguments)?))
    }

    /// A prompt or resource as the policies see it.
    pub(crate) fn item(&self, action: Action, server: &Server, name: &str) -> ResourceFacts {
        let item = ItemFacts { name: name.to_owned(), server: server.facts(&self.toolbox) };
        if matches!(action, Action::ListPrompt | Action::GetPrompt) {
            ResourceFacts::Prompt(item)
        } else {
            ResourceFacts::Resource(item)
        }
    }

    /// Records what the policies refused, and says it in the words for what is not there.
    pub(crate) async fn deny(&self, about: &About, denial: &Denial) -> Result<Refusal, Refusal> {
        let event = audit::deny(self.platform, about, denial).await?;
        Ok(self.refusal(about, denial, event))
    }

    /// What is told of a refusal by the policies.
    fn refusal(&self, about: &About, denial: &Denial, reference: EventId) -> Refusal {
        if let Some(scopes) = self.wanted_scopes(denial) {
            return Refusal::OutOfScope { scopes, reference };
        }
        // An approval alone was asked for already, or would not have been enough.
        if denial.obligations().iter().any(|needed| needed != OBLIGATION) {
            return Refusal::Needs { needs: denial.obligations().to_vec(), reference };
        }
        let name = about.subject.as_ref().and_then(|subject| subject.name.as_deref()).unwrap_or_default();
        unknown(&about.method, name, reference)
    }

    /// Refuses what is not there, in the words used for what is not allowed.
    pub(crate) async fn refuse_unknown(&self, method: &'static str, name: &str) -> Result<Refusal, Refusal> {
        let about = self.about(method, None, Some(name), None);
        let event = audit::refuse(self.platform, &about, "there is no such thing in this toolbox").await?;
        Ok(unknown(method, name, event))
    }
}

fn unknown(method: &str, name: &str, reference: EventId) -> Refusal {
    let kind = match method {
        "tools/call" => "tool",
        "prompts/get" => "prompt",
        _ => "resource",
    };
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    Refusal::Unknown { what: format!("{kind} `{name}`"), reference: Some(reference) }
}

impl Gateway {
    /// The compiled set of that hash. Content-addressed, so a cached one is never stale.
    pub(crate) async fn policy_set<P: Platform>(
        &self,
        platform: &P,
        hash: &Sha256Hex,
    ) -> Result<Rc<CompiledSet>, Refusal> {
        if let Some(set) = self.sets.borrow().get(hash) {
            return Ok(Rc::clone(set));
        }
        let source = store::policies::source(platform, hash)
            .await?
            .ok_or_else(|| Refusal::Platform(format!("policy set {hash} is not in the store")))?;
        if source.hash() != *hash {
            return Err(Refusal::Platform(format!("policy set {hash} is not what its hash says")));
        }
        let set = policies::compile(&source)
            .map_err(|error| Refusal::Platform(format!("policy set {hash}: {error}")))?;
        let set = Rc::new(set);
        let mut sets = self.sets.borrow_mut();
        if sets.len() >= 64 {
            sets.clear();
        }
        sets.insert(hash.clone(), Rc::clone(&set));
        Ok(set)
    }
}
