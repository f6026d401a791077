//! For whom an agent acts. A person lets a client act for them as an agent once; the policies are asked then, whenever a token for that is
//! made, and here at every call with one, so that what they say today holds today. API keys that name a person are not asked about: an
//! administrator made them.

use schemas::decision::{
    Action, AgentFacts, ContextFacts, DecisionRequest, Principal, ResourceFacts, UserFacts,
};

use super::{Refusal, Visit};
use crate::audit;
use crate::identity::IdentityError;
use crate::platform::Platform;
use crate::store::callers::Credential;

const REFUSED: &str = "its agent may not act for its subject through this client; ask for access again, or ask whoever writes your policies";

/// What the policies are asked: may this agent act for this person, through this OAuth client?
pub(crate) fn acting(
    agent: &AgentFacts,
    user: &UserFacts,
    client: &str,
    context: ContextFacts,
) -> DecisionRequest {
    DecisionRequest {
        principal: Principal::Agent(agent.clone()),
        action: Action::ActFor,
        resource: ResourceFacts::User(user.clone()),
        context: ContextFacts { user: Some(user.clone()), client: Some(client.to_owned()), ..context },
    }
}

impl<P: Platform> Visit<'_, P> {
    /// Refuses a token of an agent that may no longer act for the person it names. To be told so as an invalid token sends the client
    /// back to that person, who can let another agent act for them.
    pub(super) async fn check_acting(
        &self,
        credential: &Credential,
        method: &'static str,
    ) -> Result<(), Refusal> {
        let (Credential::Token { client, .. } | Credential::Access { client, .. }, Some(user)) =
            (credential, &self.caller.user)
        else {
            return Ok(());
        };
        match self.decide(acting(&self.caller.agent, user, client, self.context())) {
            Ok(_for_this_call) => Ok(()),
            Err(denial) => {
                audit::deny(self.platform, &self.about(method, None, None, None), &denial).await?;
                Err(IdentityError::Invalid(REFUSED.to_owned()).into())
            }
        }
    }
}
