//! Back from a provider. Nothing is asked of it before everything that can be known here was held against what the browser left with, and
//! the flow was used up.

use http::{HeaderMap, HeaderValue};
use schemas::ids::Sha256Hex;
use subtle::ConstantTimeEq as _;

use super::keeping::Brought;
use super::leaving::{Carried, cookie, cookie_name};
use super::{ConnectError, Who, place};
use crate::Gateway;
use crate::broker::provider::authorization::Departure;
use crate::broker::provider::{Provider, account, token};
use crate::identity::oidc;
use crate::identity::session::only_cookie;
use crate::platform::Platform;
use crate::store::tickets::{self, Flow, Ticket};
use crate::vault::Purpose;

/// What a browser comes back with (RFC 6749 §4.1.2).
#[derive(Debug)]
pub(crate) struct Returned {
    /// SHA-256 of the state.
    pub(crate) state_hash: String,
    answer: oidc::Returned,
}

impl Returned {
    /// Reads a query. Nothing if there is no state, or something is there twice (RFC 6749 §3.1).
    pub(crate) fn read(query: &str) -> Option<Self> {
        let answer = oidc::Returned::read(query)?;
        Some(Self { state_hash: Sha256Hex::of(answer.state.as_bytes()).to_string(), answer })
    }

    /// Whether it is the right provider that answers: held against before anything else of the answer is believed or shown, byte for byte
    /// (RFC 9207 §2.4).
    fn check_issuer(&self, departure: &Departure) -> Result<(), ConnectError> {
        let answer = |why: &str| ConnectError::Answer(why.to_owned());
        match (&self.answer.iss, &departure.issuer) {
            (Some(iss), Some(issuer)) if iss != issuer && !issuer.contains('{') => {
                Err(answer("the answer came from another provider"))
            }
            (None, Some(_)) if departure.promises_iss => {
                Err(answer("the answer does not say which provider it came from"))
            }
            _ => Ok(()),
        }
    }

    /// The code, if the provider does not refuse.
    fn code(&self) -> Result<&str, ConnectError> {
        let answer = |why: &str| ConnectError::Answer(why.to_owned());
        if let Some(word) = self.answer.refusal() {
            return Err(ConnectError::Refused(word.to_owned()));
        }
        let code = self.answer.code.as_deref().filter(|code| !code.is_empty());
        code.ok_or_else(|| answer("the answer holds no code"))
    }
}

/// The cookie that takes a flow's away: it is over, however it ended.
pub(crate) fn cookie_gone(state_hash: &str) -> Option<HeaderValue> {
    cookie(state_hash, "", 0)
}

/// Redeems what a browser came back with, and finds out whose account it is.
///
/// # Errors
/// It is not what this browser left for, or the provider does not give what it should.
pub(crate) async fn arrive<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (ticket, provider, flow): (&Ticket, &Provider, &Flow),
    (who, headers): (&Who<'_>, &HeaderMap),
    returned: &Returned,
) -> Result<Brought, ConnectError> {
    let answer = |why: &str| ConnectError::Answer(why.to_owned());
    if flow.used {
        return Err(answer("this answer was used before: start again"));
    }
    if flow.user != *who.user || flow.session != *who.session || flow.org != ticket.org.id {
        return Err(answer("another session left for the provider: start again"));
    }
    if flow.provider != provider.id {
        return Err(answer("the answer came back to another provider's address"));
    }
    if flow.expires_at <= platform.now() {
        return Err(answer("it took longer than ten minutes: start again"));
    }
    if flow.provider_version != provider.version {
        return Err(answer("the provider was changed meanwhile: start again"));
    }
    let place = place(&flow.state_hash, ticket, who, provider);
    let opened = gateway.vault.open(Purpose::Connect, &place, &flow.sealed);
    let carried: Option<Carried> = opened.ok().and_then(|text| serde_json::from_slice(&text).ok());
    let carried =
        carried.ok_or_else(|| answer("what this browser left with is not as it was: start again"))?;
    let binding = only_cookie(headers, &cookie_name(&flow.state_hash)).unwrap_or_default();
    let binding = Sha256Hex::of(binding.as_bytes());
    if !bool::from(binding.as_str().as_bytes().ct_eq(carried.binding.as_bytes())) {
        return Err(answer("this browser did not leave from here for there: start again"));
    }
    let departure = &carried.departure;
    // What was discovered anew meanwhile may be of somebody else.
    if departure.client_id != provider.client.id || departure.issuer != provider.endpoints.issuer {
        return Err(answer("the provider was changed meanwhile: start again"));
    }
    returned.check_issuer(departure)?;
    if !tickets::arrive(platform, flow).await? {
        return Err(answer("this answer was used before: start again"));
    }
    let code = returned.code()?;
    let mut redeemed = token::redeem(gateway, platform, provider, departure, code).await?;
    let identity = account::identify(gateway, platform, provider, departure, &mut redeemed).await?;
    Ok(Brought { identity, credential: redeemed.credential })
}
