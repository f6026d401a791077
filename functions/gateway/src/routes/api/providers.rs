//! Where people have accounts.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::ids::ProviderId;
use schemas::names::ProviderName;
use serde_json::{Map, Value, json};

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::query::Query;
use super::reply::Reply;
use super::servers::scopes as checked_scopes;
use super::things::{filters, pages};
use super::{random, read};
use crate::broker::provider::profile::{Profile, Way, kinds as all_kinds};
use crate::broker::provider::settings::Values;
use crate::broker::provider::{ProviderError, doctor, redirect_uri, secret};
use crate::platform::Platform;
use crate::secret::Secret;
pub(super) use crate::store::documents::PROVIDERS as KIND;
use crate::store::providers::{self, Provider};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    kind: String,
    #[serde(default)]
    client_id: String,
    /// Without it the one before stays, if the client stays; empty for a public client.
    #[serde(default)]
    client_secret: Option<String>,
    /// Without any, those of the kind.
    #[serde(default)]
    scopes: BTreeSet<String>,
    #[serde(default)]
    settings: Map<String, Value>,
}

/// `GET provider-kinds`: what is known of each kind of provider, and what its operator has to say and to enter there.
pub(super) fn kinds() -> Value {
    let kinds: Vec<Value> = all_kinds().iter().map(kind).collect();
    json!({ "kinds": kinds })
}

fn kind(profile: &Profile) -> Value {
    let endpoints: Vec<&String> = profile.endpoints.keys().collect();
    json!({
        "kind": profile.kind,
        "title": profile.title,
        "way": profile.way,
        "register": profile.register,
        "settings": profile.settings,
        "endpoints": endpoints,
        "scopes": profile.scopes,
        "words": profile.words,
        "pkce": profile.pkce,
        "rotates": profile.refresh.rotates,
        "refresh": {
            "graceSeconds": profile.refresh.grace_seconds,
            "idleSeconds": profile.refresh.idle_seconds,
            "absoluteSeconds": profile.refresh.absolute_seconds,
        },
        "revoke": profile.revoke,
        "notes": profile.notes,
    })
}

/// `GET providers`: a page of them, in the order of their names.
pub(super) async fn list<P: Platform>(desk: &Desk<'_, P>, query: Option<&str>) -> Result<Reply, ApiError> {
    let query = Query::of_list(query, KIND.filters)?;
    let told = |name: &str, text: String| match ProviderName::parse(name) {
        Ok(name) => with_redirect(desk, &name, Reply::text(text)).into_body(),
        Err(_) => text,
    };
    pages(desk.platform, (&KIND, desk.org.id.as_str()), &query, &filters(&KIND, &query), told).await
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ProviderName::parse(name)?;
    Ok(with_redirect(desk, &name, desk.show(&desk.thing(&KIND, name.as_str())).await?))
}

/// Where it sends people back to: that has to be registered there.
fn with_redirect<P: Platform>(desk: &Desk<'_, P>, name: &ProviderName, reply: Reply) -> Reply {
    reply.with("redirectUri", &redirect_uri(desk.gateway, &desk.name, name))
}

pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ProviderName::parse(name)?;
    let body: Body = read(body)?;
    let before = providers::find(desk.platform, &desk.name, &name).await?;
    let provider = row(desk, &name, &body, before.as_ref()).await?;
    let told = format!("provider `{name}`, kind `{}`, client `{}`", provider.kind, provider.client_id);
    let statements = match &before {
        Some(_) => providers::change(&provider, desk.platform.now()).into(),
        None => vec![providers::add(&provider)],
    };
    let thing = desk.thing(&KIND, name.as_str());
    let reply = desk.put(&thing, Change { action: "provider.put", told, statements }).await?;
    Ok(with_redirect(desk, &name, reply))
}

/// The row as it is to be.
async fn row<P: Platform>(
    desk: &Desk<'_, P>,
    name: &ProviderName,
    body: &Body,
    before: Option<&Provider>,
) -> Result<Provider, ApiError> {
    let malformed = |why: String| ApiError::Malformed(why);
    let profile = Profile::find(&body.kind).ok_or_else(|| {
        malformed(format!("there is no kind `{}`: `GET /provider-kinds` lists them", body.kind))
    })?;
    if let Some(before) = before.filter(|before| before.kind != body.kind) {
        let why =
            format!("provider `{name}` is of kind `{}`: delete it first, or take another name", before.kind);
        return Err(ApiError::Conflict(why));
    }
    Values::read(&desk.gateway.settings, profile, &body.settings).map_err(malformed)?;
    checked_scopes(&body.scopes)?;
    let registered = profile.way == Way::Oauth;
    let is_word = |text: &str| text.len() <= 512 && text.bytes().all(|c| c.is_ascii_graphic());
    let wanted = registered && profile.kind != "mcp";
    if !is_word(&body.client_id) || (wanted && body.client_id.is_empty()) {
        return Err(malformed("`clientId` must be 1 to 512 characters without spaces".to_owned()));
    }
    if !registered && (!body.client_id.is_empty() || body.client_secret.is_some()) {
        return Err(malformed(format!(
            "`{}` knows no client: leave `clientId` and `clientSecret` out",
            body.kind
        )));
    }
    let now = desk.platform.now();
    let mut provider = Provider {
        id: before.map_or_else(|| ProviderId::mint(now, random(desk.platform)), |before| before.id.clone()),
        org: desk.facts(),
        name: name.clone(),
        kind: body.kind.clone(),
        client_id: body.client_id.clone(),
        client_secret: None,
        scopes: body.scopes.iter().cloned().collect(),
        settings: body.settings.clone(),
        discovered: "{}".to_owned(),
        version: before.map_or(1, |before| before.version + 1),
        trouble: None,
        created_at: now,
    };
    let given = body.client_secret.as_ref().map(|secret| Secret::new(secret.clone()));
    let kept = match (given, before) {
        (Some(given), _) => Some(given).filter(|given| !given.expose().is_empty()),
        // A secret stays with the client and the place that it was given for.
        (None, Some(before))
            if before.client_id == provider.client_id && before.settings == provider.settings =>
        {
            secret::open(desk.gateway, desk.platform, before).await.map_err(refused)?
        }
        (None, _) => None,
    };
    if let Some(kept) = kept {
        provider.client_secret =
            Some(secret::seal(desk.gateway, desk.platform, &provider, &kept).await.map_err(refused)?);
    }
    Ok(provider)
}

fn refused(error: ProviderError) -> ApiError {
    match error {
        ProviderError::Platform(error) => ApiError::Platform(error),
        ProviderError::Settings(_)
        | ProviderError::Secret
        | ProviderError::Vault(_)
        | ProviderError::Egress(_)
        | ProviderError::Discovery(_) => ApiError::Refused { message: error.to_string(), details: json!([]) },
    }
}

/// Takes a provider away that nobody is connected to and no server uses.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ProviderName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let found = providers::find(desk.platform, &desk.name, &name).await?;
    let found = found.ok_or_else(|| super::desk::missing(&thing))?;
    let statements = providers::delete(&found.id).into();
    desk.delete(&thing, Change { action: "provider.delete", told: format!("provider `{name}`"), statements })
        .await
}

/// `POST providers/{provider}/doctor`: looks at how it is set up, and asks it.
pub(super) async fn examine<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ProviderName::parse(name)?;
    let found = providers::find(desk.platform, &desk.name, &name).await?;
    let found = found.ok_or_else(|| super::desk::missing(&desk.thing(&KIND, name.as_str())))?;
    let checks = doctor::examine(desk.gateway, desk.platform, &found).await;
    let ok = checks.iter().all(|check| check.ok != Some(false));
    Ok(json!({ "ok": ok, "checks": checks }).into())
}
