//! `Idempotency-Key`: a POST that is sent twice is done once, and answered alike (draft-ietf-httpapi-idempotency-key-header-07).

use http::{HeaderMap, Request};
use schemas::ids::{OrgId, Sha256Hex};

use super::problem::ApiError;
use super::reply::Reply;
use crate::Gateway;
use crate::identity::person::Person;
use crate::platform::Platform;
use crate::store::idempotency::{self, Standing};
use crate::vault::Purpose;

/// The longest key.
const LONGEST: usize = 255;

/// The claim of a request on its key.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// What the store knows the key by: it is bound to whoever sends it.
    pub(super) key: String,
}

/// What a request with a key is to do.
pub(super) enum Turn {
    /// Do it.
    Do(Option<Claim>),
    /// Nothing: this is what it was answered.
    Again(Reply),
}

/// Claims the key of a request, if it has one.
pub(super) async fn turn<P: Platform>(
    (gateway, platform): (&Gateway, &P),
    (org, person): (&OrgId, &Person),
    request: &Request<bytes::Bytes>,
) -> Result<Turn, ApiError> {
    let Some(given) = given(request.headers())? else { return Ok(Turn::Do(None)) };
    // By the person and not by their credential: a key that was rotated meanwhile changes nothing.
    let key = Sha256Hex::of(format!("{}\n{given}", person.facts.name).as_bytes()).as_str().to_owned();
    let mut covered = format!("{} {}\n", request.method(), request.uri().path()).into_bytes();
    covered.extend_from_slice(request.body());
    let request = Sha256Hex::of(&covered);
    match idempotency::claim(platform, org, &key, request.as_str()).await? {
        Standing::Ours => Ok(Turn::Do(Some(Claim { key }))),
        Standing::Other => Err(ApiError::KeyOfAnother),
        Standing::UnderWay => Err(ApiError::UnderWay(
            "a request with this `Idempotency-Key` is under way: ask again in a moment".to_owned(),
        )),
        Standing::Lost => Err(ApiError::UnderWay(
            "the request with this `Idempotency-Key` was done, but its answer got lost: look at what there is now".to_owned(),
        )),
        Standing::Done(sealed) => {
            let text = gateway.vault.open(Purpose::Answer, &context(org, &key), &sealed).ok();
            let reply = text.and_then(|text| serde_json::from_slice(&text).ok());
            reply.map(Turn::Again).ok_or_else(|| {
                ApiError::UnderWay("the answer can't be read any more: look at what there is now".to_owned())
            })
        }
    }
}

/// Keeps the answer, sealed as it may hold a key that was minted; or gives the claim back, if nothing was done.
pub(super) async fn settle<P: Platform>(
    (gateway, platform): (&Gateway, &P),
    org: &OrgId,
    claim: &Claim,
    done: &Result<Reply, ApiError>,
) {
    let kept = match done {
        Ok(reply) => {
            let text = serde_json::to_vec(reply).unwrap_or_default();
            match gateway.vault.seal(platform, Purpose::Answer, &context(org, &claim.key), &text) {
                Some(sealed) => idempotency::keep(platform, org, &claim.key, sealed).await,
                None => Ok(()),
            }
        }
        Err(_) => idempotency::release(platform, org, &claim.key).await,
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "the answer to a request with an idempotency key could not be kept");
    }
}

fn context(org: &OrgId, key: &str) -> Vec<u8> {
    format!("{org}\n{key}").into_bytes()
}

fn given(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let wrong = || {
        ApiError::Malformed(format!(
            "`Idempotency-Key` is there once, and has 1 to {LONGEST} visible characters of ASCII"
        ))
    };
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| wrong())?;
    if values.next().is_some() || text.is_empty() || text.len() > LONGEST {
        return Err(wrong());
    }
    Ok(Some(text))
}
