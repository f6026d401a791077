//! A client that is an agent, with no person behind it (OAuth 2.1 §4.2; MCP extension `oauth-client-credentials`).

use http::Response;

use super::Ask;
use super::issue::Granted;
use crate::body::Body;
use crate::clients::Method;
use crate::platform::Platform;
use crate::routes::oauth_server::error::OAuthError;

/// Grants a token for the agent that the client is.
pub(super) async fn grant<P: Platform>(ask: &Ask<'_, P>) -> Result<Response<Body<P::Stream>>, OAuthError> {
    ask.registered_for("client_credentials")?;
    let unauthorized = |why: &str| OAuthError::new("unauthorized_client", why);
    let agent = ask
        .client
        .agent
        .as_ref()
        .ok_or_else(|| unauthorized("this client is no agent by itself: a person has to let it in"))?;
    if ask.client.metadata.method() == Method::None {
        return Err(unauthorized("a client without a secret or key can't prove that it is this agent"));
    }
    let target = ask.toolbox()?;
    let place = ask.place(&target).await?;
    let (agent, _, _) = place.still(ask.platform, &ask.client, agent, None).await?;
    let scopes = ask.scopes();
    let granted = Granted { place, target, agent, user: None, actors: Vec::new(), scopes, permit: None };
    Ok(Ask::<P>::brought(&ask.once(granted).await?))
}
