//! The one walk of a request: who asks, for what, may they, and the record of it before anything happens.

mod approval;

pub(crate) use approval::{Brought, Prospect, Reply, Round, Settled, ToolCall};

use std::collections::BTreeSet;
use std::rc::Rc;

use policies::{CompiledSet, Denial, Permit};
use schemas::audit::Subject;
use schemas::decision::{
    Action, AgentFacts, Approval, ContextFacts, DecisionRequest, Grants, ItemFacts, ResourceFacts,
};
use schemas::ids::Sha256Hex;
use schemas::names::{OrgName, ToolboxName};

use crate::Gateway;
use crate::audit::{self, About, Intent, Warrant};
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
    #[error("unknown {0}")]
    Unknown(String),
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
    let caller = identity::caller(address.credential, found.caller)?;
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
    Ok((Visit { gateway, platform, caller, toolbox, policies, traceparent: address.traceparent }, found.rest))
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

    /// The circumstances. `arguments` are shown to the policies as far as these look into them.
    pub(crate) fn context(&self, arguments: Option<&str>) -> Result<ContextFacts, Refusal> {
        let names = self.policies.argument_names();
        let args = match arguments {
            Some(arguments) if !matches!(names, policies::ArgumentNames::None) => {
                let value: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
                names.select(&value).map_err(|error| Refusal::Unknown(error.to_string()))?
            }
            _ => std::collections::BTreeMap::new(),
        };
        Ok(ContextFacts {
            now: self.platform.now(),
            org: self.toolbox.org.clone(),
            user: self.caller.user.clone(),
            token_scopes: self.caller.scopes.clone(),
            taint: BTreeSet::new(),
            approval: None,
            args,
        })
    }

    /// Step 4 for one tool. An approval is one that was verified, or one that is only supposed.
    pub(crate) fn decide_tool(
        &self,
        server: &Server,
        tool: &Tool,
        arguments: Option<&str>,
        approval: Option<Approval>,
    ) -> Result<Result<Permit, Denial>, Refusal> {
        let request = DecisionRequest {
            principal: self.principal([server].into_iter(), [(server, tool)].into_iter()),
            action: Action::CallTool,
            resource: ResourceFacts::Tool(tool.facts(server.facts(&self.toolbox))),
            context: ContextFacts { approval, ..self.context(arguments)? },
        };
        Ok(policies::decide(&self.policies, request))
    }

    /// Step 4 for one prompt or resource.
    pub(crate) fn decide_item(
        &self,
        action: Action,
        server: &Server,
        name: &str,
        arguments: Option<&str>,
    ) -> Result<Result<Permit, Denial>, Refusal> {
        let request = DecisionRequest {
            principal: self.principal([server].into_iter(), std::iter::empty()),
            action,
            resource: self.item(action, server, name),
            context: self.context(arguments)?,
        };
        Ok(policies::decide(&self.policies, request))
    }

    /// A prompt or resource as the policies see it.
    pub(crate) fn item(&self, action: Action, server: &Server, name: &str) -> ResourceFacts {
        let item = ItemFacts { name: name.to_owned(), server: server.facts(&self.toolbox) };
        match action {
            Action::ListPrompt | Action::GetPrompt => ResourceFacts::Prompt(item),
            Action::ListResource | Action::ReadResource | Action::ListTool | Action::CallTool => {
                ResourceFacts::Resource(item)
            }
        }
    }

    /// Step 5: the record of what is about to happen, durable before it does; or of the refusal.
    pub(crate) async fn record(
        &self,
        about: &About,
        decision: Result<Permit, Denial>,
    ) -> Result<(Intent<P>, Permit), Refusal> {
        match decision {
            Ok(permit) => {
                let intent = Intent::write(
                    self.platform,
                    about,
                    &Warrant::Permits(std::slice::from_ref(&permit)),
                    self.gateway.settings.call_limit,
                )
                .await?;
                Ok((intent, permit))
            }
            Err(denial) => Err(self.deny(about, &denial).await?),
        }
    }

    /// Records what the policies refused, and says it in the words for what is not there.
    pub(crate) async fn deny(&self, about: &About, denial: &Denial) -> Result<Refusal, Refusal> {
        audit::deny(self.platform, about, denial).await?;
        let name = about.subject.as_ref().and_then(|subject| subject.name.as_deref()).unwrap_or_default();
        Ok(unknown(&about.method, name))
    }

    /// Refuses what is not there, in the words used for what is not allowed.
    pub(crate) async fn refuse_unknown(&self, method: &'static str, name: &str) -> Result<Refusal, Refusal> {
        audit::refuse(
            self.platform,
            &self.about(method, None, Some(name), None),
            "there is no such thing in this toolbox",
        )
        .await?;
        Ok(unknown(method, name))
    }
}

fn unknown(method: &str, name: &str) -> Refusal {
    let kind = match method {
        "tools/call" => "tool",
        "prompts/get" => "prompt",
        _ => "resource",
    };
    Refusal::Unknown(format!(
        "{kind} `{}`",
        name.chars().filter(|c| !c.is_control()).take(80).collect::<String>()
    ))
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
