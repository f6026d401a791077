//! As which agent a client acts, and for whom: asked of the policies at every step that leads to a token.

use std::rc::Rc;

use ::policies::{CompiledSet, Permit};
use schemas::audit::Actor;
use schemas::decision::{AgentFacts, ContextFacts, OrgFacts, Status, UserFacts};
use schemas::ids::{AgentId, UserId};
use schemas::names::OrgName;

use super::error::OAuthError;
use crate::Gateway;
use crate::audit::{self, About};
use crate::clients::Client;
use crate::platform::{Platform, PlatformError};
use crate::store;
use crate::store::authorizations::{Candidate, candidates, parties};
use crate::walk::acting;

/// An organisation, and the policies that it has now.
pub(super) struct Place {
    pub(super) org: OrgFacts,
    pub(super) policies: Rc<CompiledSet>,
}

impl Place {
    /// The organisation of that name; nothing if there is none.
    pub(super) async fn of<P: Platform>(
        gateway: &Gateway,
        platform: &P,
        name: &OrgName,
    ) -> Result<Option<Self>, OAuthError> {
        let Some(org) = store::admin::org(platform, name).await? else { return Ok(None) };
        let policies = gateway.policy_set(platform, &org.policy_set).await?;
        Ok(Some(Self { org: OrgFacts { id: org.id, name: name.clone() }, policies }))
    }

    /// Whether an agent may act for a person, through a client.
    pub(super) fn may_act_for<P: Platform>(
        &self,
        platform: &P,
        agent: &AgentFacts,
        user: &UserFacts,
        client: &Client,
    ) -> Result<Permit, ::policies::Denial> {
        let context = ContextFacts::at(platform.now(), self.org.clone());
        ::policies::decide(&self.policies, acting(agent, user, &client.id, context))
    }

    /// The agents that a person could let this client act as, in order of their names.
    pub(super) async fn offered<P: Platform>(
        &self,
        platform: &P,
        user: &UserFacts,
        client: &Client,
    ) -> Result<Vec<Candidate>, PlatformError> {
        if !client.is_for(&self.org.id) {
            return Ok(Vec::new());
        }
        let mut agents = candidates(platform, &self.org.id).await?;
        agents.retain(|agent| {
            client.is_let_in(&agent.clients) && self.may_act_for(platform, &agent.facts, user, client).is_ok()
        });
        Ok(agents)
    }

    /// The agent and the person as they are now, and the proof that the one may act for the other through this client. A refusal is
    /// on record.
    ///
    /// # Errors
    /// One of them is gone or switched off, the agent does not let the client in any more, or the policies say no.
    pub(super) async fn still<P: Platform>(
        &self,
        platform: &P,
        client: &Client,
        agent: &AgentId,
        user: Option<&UserId>,
    ) -> Result<(Candidate, Option<UserFacts>, Option<Permit>), OAuthError> {
        let refused = |why: &str| OAuthError::invalid_grant(why);
        let (agent, person) = parties(platform, agent, user)
            .await?
            .ok_or_else(|| refused("its agent is not there any more"))?;
        if agent.facts.org.id != self.org.id || agent.facts.status != Status::Active {
            return Err(refused("its agent is switched off"));
        }
        // A workload shows what its issuer says of it, and needs no client.
        let is_itself = client.agent.as_ref() == Some(&agent.id) || (user.is_none() && client.is_workload());
        if !client.is_for(&self.org.id) || !(is_itself || client.is_let_in(&agent.clients)) {
            return Err(refused("its agent does not let this client in any more"));
        }
        match (user, person) {
            (None, _) => Ok((agent, None, None)),
            (Some(_), None) => Err(refused("its person is not there any more")),
            (Some(_), Some(person)) => match self.may_act_for(platform, &agent.facts, &person, client) {
                Ok(permit) => Ok((agent, Some(person), Some(permit))),
                Err(denial) => {
                    let actor = Actor {
                        agent: Some(agent.facts.name.clone()),
                        user: Some(person.name.clone()),
                        credential: credential(client),
                    };
                    audit::deny(platform, &about(&self.org, actor, "token.issue"), &denial).await?;
                    Err(refused("the policies do not let this agent act for this person"))
                }
            },
        }
    }
}

/// What the trail says acted.
pub(super) fn credential(client: &Client) -> String {
    format!("client:{}", client.id)
}

/// What the trail says an event is about.
pub(super) fn about(org: &OrgFacts, actor: Actor, method: &str) -> About {
    About {
        org: org.id.clone(),
        actor,
        method: method.to_owned(),
        subject: None,
        arguments: None,
        traceparent: None,
    }
}
