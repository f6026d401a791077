//! Where people of the organisation sign in.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemas::names::{IdentityProviderName, TeamName};
use serde_json::{Value, json};

use super::problem::ApiError;
use super::reply::Reply;
use super::{Desk, read, teams};
use crate::platform::Platform;
use crate::routes::sign_in::{redirect_uri, secret_place};
use crate::secret::Secret;
use crate::store::identities::{self, Admits, IdentityProvider, Kept};
use crate::vault::Purpose;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    issuer: String,
    client_id: String,
    /// Without it the one before stays, if issuer and client stay; empty for a public client.
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    name_claim: String,
    #[serde(default)]
    groups_claim: String,
    #[serde(default)]
    teams: BTreeMap<String, TeamName>,
    #[serde(default)]
    domains: Vec<String>,
    admits: Admits,
}

/// Sets one up. It is asked what it offers, so that a mistake shows now and not when somebody wants to sign in.
pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = IdentityProviderName::parse(name)?;
    let body: Body = read(body)?;
    hold(desk, &name).await?;
    let kept = if body.client_secret.is_none() { Kept::IfSame } else { Kept::No };
    let secret = body.client_secret.clone().filter(|secret| !secret.is_empty()).map(Secret::new);
    let mut provider = check(name, body)?;
    for team in provider.teams.values() {
        teams::find(desk, team).await?;
    }
    let found = desk.gateway.identity_providers.find(desk.gateway, desk.platform, &provider.issuer).await;
    if let Err(error) = found {
        return Err(ApiError::Refused { message: error.to_string(), details: json!([]) });
    }
    if let Some(secret) = secret {
        let place = secret_place(&desk.name, &provider);
        let sealed =
            desk.gateway.vault.seal(desk.platform, Purpose::Stored, &place, secret.expose().as_bytes());
        let unsealed = || ApiError::Malformed("this client secret can't be kept".into());
        provider.client_secret = Some(sealed.ok_or_else(unsealed)?);
    }
    let statement = identities::put_provider(&desk.org.id, &provider, kept, desk.platform.now());
    let what = format!("identity provider `{}`: `{}`", provider.name, provider.issuer);
    let results = desk.change("identity-provider.put", what, vec![statement]).await?;
    let has_secret = crate::store::first(&results, 0).map(|row| row.integer(0)).transpose()? == Some(1);
    Ok(shown(desk, &provider, has_secret))
}

fn check(name: IdentityProviderName, body: Body) -> Result<IdentityProvider, ApiError> {
    let malformed = |why: &str| Err(ApiError::Malformed(why.to_owned()));
    let scopes = body.scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).to_vec());
    let is_scope = |scope: &String| {
        !scope.is_empty() && scope.bytes().all(|c| c.is_ascii_graphic() && !matches!(c, b'"' | b'\\'))
    };
    if !scopes.iter().any(|scope| scope == "openid") || !scopes.iter().all(is_scope) {
        return malformed("`scopes` must be words, `openid` among them");
    }
    if body.client_id.is_empty() || body.client_id.len() > 512 {
        return malformed("`clientId` must be 1 to 512 characters");
    }
    if body.issuer.contains(['?', '#']) || body.issuer.len() > 512 {
        return malformed("`issuer` must be a URL without query and fragment");
    }
    let is_domain = |domain: &String| {
        domain.contains('.')
            && domain
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-'))
    };
    if !body.domains.iter().all(is_domain) {
        return malformed("`domains` must be names such as `acme.example`, in lower case");
    }
    if body.groups_claim.is_empty() != body.teams.is_empty() {
        return malformed(
            "`groupsClaim` and `teams` go together: which claim lists groups, and which team each stands for",
        );
    }
    Ok(IdentityProvider {
        name,
        issuer: body.issuer,
        client_id: body.client_id,
        client_secret: None,
        scopes: scopes.join(" "),
        name_claim: body.name_claim,
        groups_claim: body.groups_claim,
        teams: body.teams,
        admits: body.admits,
        domains: body.domains,
    })
}

pub(super) async fn list<P: Platform>(desk: &Desk<'_, P>) -> Result<Value, ApiError> {
    let all = identities::providers(desk.platform, &desk.name).await?;
    let items: Vec<Value> =
        all.iter().map(|provider| shown(desk, provider, provider.client_secret.is_some())).collect();
    Ok(json!({ "identityProviders": items }))
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Value, ApiError> {
    let name = IdentityProviderName::parse(name)?;
    let found = identities::find_provider(desk.platform, &desk.name, &name).await?;
    let (_, provider) = found.ok_or_else(|| ApiError::NotFound(format!("identity provider `{name}`")))?;
    Ok(shown(desk, &provider, provider.client_secret.is_some()))
}

/// Holds a provider against what the request demands of it.
async fn hold<P: Platform>(desk: &Desk<'_, P>, name: &IdentityProviderName) -> Result<(), ApiError> {
    if !desk.conditions.any() {
        return Ok(());
    }
    let found = identities::find_provider(desk.platform, &desk.name, name).await?;
    let current =
        found.map(|(_, provider)| shown(desk, &provider, provider.client_secret.is_some()).to_string());
    desk.conditions.hold(current.as_deref())
}

/// Nobody signs in there any more. Who is linked to it stays so, for when it is set up again.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = IdentityProviderName::parse(name)?;
    let what = format!("identity provider `{name}`");
    let found = identities::find_provider(desk.platform, &desk.name, &name).await?;
    found.ok_or_else(|| ApiError::NotFound(what.clone()))?;
    hold(desk, &name).await?;
    desk.change("identity-provider.delete", what, vec![identities::delete_provider(&desk.org.id, &name)])
        .await?;
    Ok(Reply::nothing())
}

/// A provider, as it is told: never with its secret.
fn shown<P: Platform>(desk: &Desk<'_, P>, provider: &IdentityProvider, has_secret: bool) -> Value {
    json!({
        "name": provider.name,
        "issuer": provider.issuer,
        "clientId": provider.client_id,
        "hasClientSecret": has_secret,
        "redirectUri": redirect_uri(desk.gateway, &desk.name, &provider.name),
        "scopes": provider.scopes.split_whitespace().collect::<Vec<_>>(),
        "nameClaim": provider.name_claim,
        "groupsClaim": provider.groups_claim,
        "teams": provider.teams,
        "domains": provider.domains,
        "admits": provider.admits,
    })
}
