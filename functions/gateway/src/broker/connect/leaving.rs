//! Off to a provider: only after the person said so on a page of ours.

use http::HeaderValue;
use schemas::ids::Sha256Hex;
use url::Url;

use super::{ConnectError, Who, about, place};
use crate::Gateway;
use crate::audit;
use crate::broker::provider::Provider;
use crate::broker::provider::authorization::{Departure, random};
use crate::platform::{Batch, Platform};
use crate::store::tickets::{self, Flow, Ticket};
use crate::vault::Purpose;

/// How long somebody may take there, in milliseconds.
const PATIENCE: i64 = 10 * 60 * 1000;

/// What is sealed into a flow.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Carried {
    pub(super) departure: Departure,
    /// SHA-256 of what the browser carries in its cookie.
    pub(super) binding: String,
}

/// Where the browser goes, and what it carries.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) url: Url,
    pub(crate) cookie: HeaderValue,
}

/// Makes the flow of a browser that leaves.
///
/// # Errors
/// The provider can't be left for, or the database failed.
pub(crate) async fn leave<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    ticket: &Ticket,
    provider: &Provider,
    who: &Who<'_>,
) -> Result<Left, ConnectError> {
    let (state, binding) = (random(platform), random(platform));
    let state_hash = Sha256Hex::of(state.as_bytes()).to_string();
    let departure = Departure::new(platform, provider, &ticket.scopes);
    let url = departure.url(&gateway.settings, provider, &state)?;
    let carried = Carried { departure, binding: Sha256Hex::of(binding.as_bytes()).to_string() };
    let lost = || ConnectError::Answer("the provider can't be left for".to_owned());
    let text = serde_json::to_vec(&carried).map_err(|_| lost())?;
    let place = place(&state_hash, ticket, who, provider);
    let sealed = gateway.vault.seal(platform, Purpose::Connect, &place, &text).ok_or_else(lost)?;
    let now = platform.now();
    let flow = Flow {
        org: ticket.org.id.clone(),
        user: who.user.clone(),
        session: who.session.clone(),
        ticket: ticket.id.clone(),
        provider: provider.id.clone(),
        provider_version: provider.version,
        expires_at: now.plus(PATIENCE),
        used: false,
        state_hash,
        sealed,
    };
    let about = about(&ticket.org, who.person.actor(), "connect.leave", Some(ticket));
    let what = format!("{}: leaves for provider `{}`", ticket.id, provider.name);
    let note = audit::note_statement(platform, &about, what, None)?;
    platform.sql(Batch::write([tickets::leave(&flow, now), note])).await?;
    let cookie = cookie(&flow.state_hash, &binding, PATIENCE / 1000).ok_or_else(lost)?;
    Ok(Left { url, cookie })
}

/// The cookie of a flow. Each has its own, so that two tabs can be on their way.
pub(super) fn cookie(state_hash: &str, binding: &str, seconds: i64) -> Option<HeaderValue> {
    let name = cookie_name(state_hash);
    let line = format!("{name}={binding}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    let mut value = HeaderValue::from_str(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn cookie_name(state_hash: &str) -> String {
    format!("__Host-ambit-connect-{}", state_hash.chars().take(8).collect::<String>())
}
