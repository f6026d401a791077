//! What an organisation's issuer says becomes a token (RFC 7523 §2.1): of a workload, such as a CI job or a pod, which is an agent; or
//! of a person whom an enterprise's identity provider lets this client act for (ID-JAG; MCP extension `enterprise-managed-authorization`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use schemas::ids::Timestamp;

use super::Ask;
use super::issue::Granted;
use crate::body::Body;
use crate::platform::Platform;
use crate::routes::oauth_server::acting::Place;
use crate::routes::oauth_server::error::OAuthError;
use crate::routes::oauth_server::scopes;
use crate::routes::oauth_server::target::Target;
use crate::store::callers::Credential;
use crate::store::{clients, people};

/// `typ` of an Identity Assertion Authorization Grant (draft-ietf-oauth-identity-assertion-authz-grant §3).
const ID_JAG: &str = "oauth-id-jag+jwt";

/// What an ID-JAG says beside what every JWT says.
#[derive(Debug, serde::Deserialize)]
struct Jag {
    jti: String,
    exp: i64,
    client_id: String,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    /// Bound to a key that the client would have to prove: what we can't check we don't take.
    #[serde(default)]
    cnf: Option<serde_json::Value>,
    #[serde(default)]
    authorization_details: Option<serde_json::Value>,
}

/// Takes an assertion.
pub(super) async fn grant<P: Platform>(ask: &Ask<'_, P>) -> Result<Response<Body<P::Stream>>, OAuthError> {
    let assertion = ask.form.must("assertion")?;
    let header = jsonwebtoken::decode_header(assertion)
        .map_err(|_| OAuthError::invalid_grant("`assertion` is no JWT"))?;
    if header.typ.as_deref() == Some(ID_JAG) {
        person(ask, assertion).await
    } else {
        workload(ask, assertion).await
    }
}

/// Verifies an assertion that an issuer of the organisation made for us.
async fn verified<P: Platform>(
    ask: &Ask<'_, P>,
    place: &Place,
    assertion: &str,
) -> Result<(String, String, String, Vec<String>), OAuthError> {
    let issuer = &ask.gateway.settings.public_url;
    match ask.gateway.tokens.verify(ask.platform, assertion, &place.org.name, issuer).await? {
        Credential::Token { issuer, client, subject, scopes, .. } => Ok((issuer, client, subject, scopes)),
        Credential::KeyHash(_) | Credential::Access { .. } => {
            Err(OAuthError::invalid_grant("it is no token of an issuer"))
        }
    }
}

/// A workload: the agent whose `oauthClient` is the assertion's `client_id`, `azp` or `sub`. The client is whoever carries it, and
/// proves nothing beside it.
async fn workload<P: Platform>(
    ask: &Ask<'_, P>,
    assertion: &str,
) -> Result<Response<Body<P::Stream>>, OAuthError> {
    let target = ask.toolbox()?;
    let place = ask.place(&target).await?;
    let (issuer, client, _, _) = verified(ask, &place, assertion).await?;
    let agent = people::agent_of_client(ask.platform, &place.org.id, &client).await?;
    let agent = agent.ok_or_else(|| {
        OAuthError::invalid_grant(format!(
            "no agent of this organisation is `{client}` of `{issuer}`: set its `oauthClient`"
        ))
    })?;
    if !ask.client.is_workload() {
        return Err(OAuthError::invalid_request("a workload is no client: leave `client_id` out"));
    }
    let (agent, _, _) = place.still(ask.platform, &ask.client, &agent, None).await?;
    let scopes = ask.scopes();
    let granted = Granted { place, target, agent, user: None, actors: Vec::new(), scopes, permit: None };
    Ok(Ask::<P>::brought(&ask.once(granted).await?))
}

/// A person, for whom the enterprise's identity provider lets this client act.
async fn person<P: Platform>(
    ask: &Ask<'_, P>,
    assertion: &str,
) -> Result<Response<Body<P::Stream>>, OAuthError> {
    let bad = |why: &str| OAuthError::invalid_grant(format!("`assertion`: {why}"));
    // Whose keys to look at stands in the assertion; nothing of it counts until it is verified.
    let payload = assertion
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .unwrap_or_default();
    let jag: Jag =
        serde_json::from_slice(&payload).map_err(|_| bad("it must have `client_id`, `jti` and `exp`"))?;
    let resource = match (&jag.resource, ask.form.get("resource")) {
        (Some(one), Some(other)) if one != other => {
            return Err(OAuthError::invalid_target("the assertion is for another `resource`"));
        }
        (Some(one), _) => one.as_str(),
        (None, Some(other)) => other,
        (None, None) => {
            return Err(OAuthError::invalid_target(
                "neither the assertion nor the request names a `resource`",
            ));
        }
    };
    let target = Target::read(ask.gateway, resource)?;
    if target == Target::Management {
        return Err(OAuthError::invalid_target("agents use toolboxes: they manage nothing"));
    }
    let place = ask.place(&target).await?;
    let (issuer, _, subject, _) = verified(ask, &place, assertion).await?;
    if jag.client_id != ask.client.id {
        return Err(bad("it was made for another client"));
    }
    if jag.cnf.is_some() || jag.authorization_details.is_some() {
        return Err(bad("`cnf` and `authorization_details` are not served here"));
    }
    let until = Timestamp(jag.exp.saturating_add(60).saturating_mul(1000));
    let user = people::by_subject(ask.platform, &place.org.id, &issuer, &subject).await?;
    let user = user.ok_or_else(|| bad("its subject is no user of this organisation"))?;
    let facts =
        people::facts(ask.platform, &place.org, &user).await?.ok_or_else(|| bad("its subject is gone"))?;
    let offered = place.offered(ask.platform, &facts, &ask.client).await?;
    let agent = match (ask.form.get("agent"), offered.as_slice()) {
        (Some(name), all) => all.iter().find(|agent| agent.facts.name.as_str() == name),
        (None, [only]) => Some(only),
        (None, []) => None,
        (None, _) => {
            return Err(OAuthError::invalid_request(
                "several agents let this client in: name one as `agent`",
            ));
        }
    };
    let agent =
        agent.ok_or_else(|| bad("no agent that may act for this person lets this client in"))?.id.clone();
    let (agent, _, permit) = place.still(ask.platform, &ask.client, &agent, Some(&user)).await?;
    if !clients::burn(ask.platform, &issuer, &jag.jti, until).await? {
        return Err(bad("it was used before"));
    }
    // What the identity provider allows is the most; the client may ask for less.
    let most = scopes::granted(jag.scope.as_deref().unwrap_or_default(), false);
    let scopes: Vec<String> = ask.scopes().into_iter().filter(|scope| most.contains(scope)).collect();
    let user = Some((user, facts.name));
    let granted = Granted { place, target, agent, user, actors: Vec::new(), scopes, permit };
    Ok(Ask::<P>::brought(&ask.once(granted).await?))
}
