//! `requestState`: what a server wants to have back with the input it asked for, sealed while the client carries it (MCP 2026-07-28,
//! multi-round-trip requests).

use super::Failure;
use super::error::{INVALID_PARAMS, RpcError};
use super::message::Call;
use crate::audit::{self, About};
use crate::platform::Platform;
use crate::toolboxes::Server;
use crate::vault::{Purpose, Vault};
use crate::walk::{Brought, Visit};

/// What a `requestState` is bound to: this caller, this toolbox and server, and what the call is about. A state that was issued for
/// one call is worth nothing in another.
fn binding<P: Platform>(
    visit: &Visit<'_, P>,
    call: &Call<'_>,
    server: &Server,
    params: &crate::json::Object<'_>,
) -> Vec<u8> {
    let salient: Vec<String> = ["name", "uri", "arguments"]
        .iter()
        .filter_map(|key| params.get(key))
        .map(|text| {
            serde_json::from_str::<serde_json::Value>(text)
                .ok()
                .and_then(|value| serde_json_canonicalizer::to_string(&value).ok())
                .unwrap_or_default()
        })
        .collect();
    let user = visit.caller.user.as_ref().map_or("", |user| user.name.as_str());
    [
        visit.toolbox.id.as_str(),
        visit.caller.agent_id.as_str(),
        user,
        server.id.as_str(),
        call.method.as_str(),
    ]
    .into_iter()
    .chain(salient.iter().map(String::as_str))
    .flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.bytes()))
    .collect()
}

/// How long a `requestState` is good for, in milliseconds.
const STATE_LIVES: i64 = 15 * 60 * 1000;

/// What a call brings with it, and what the next state it is given is bound to.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) binding: Vec<u8>,
    pub(super) brought: Brought,
}

/// Refuses a `requestState` that is not good, or not any more.
pub(super) fn refuse() -> RpcError {
    RpcError::new(
        INVALID_PARAMS,
        "`requestState` was not issued for this call, or it was used already, or it has expired: start the call again",
    )
}

/// Replaces the caller's sealed `requestState` by the server's own, if there is one. A state that is not good is on record: somebody
/// tampers with it, or brings one that is somebody else's.
pub(super) async fn open<P: Platform>(
    visit: &Visit<'_, P>,
    call: &Call<'_>,
    server: &Server,
    params: &mut crate::json::Object<'_>,
    about: &About,
) -> Result<Opened, Failure> {
    match read(visit, call, server, params) {
        Ok(opened) => Ok(opened),
        Err(error) => {
            let reason = "a `requestState` was brought that was not issued for this call, or has expired";
            audit::refuse(visit.platform, about, reason).await?;
            Err(error.into())
        }
    }
}

fn read<P: Platform>(
    visit: &Visit<'_, P>,
    call: &Call<'_>,
    server: &Server,
    params: &mut crate::json::Object<'_>,
) -> Result<Opened, RpcError> {
    let binding = binding(visit, call, server, params);
    if !params.has("requestState") {
        return Ok(Opened { binding, brought: Brought::Nothing });
    }
    let sealed = params.text("requestState").ok_or_else(refuse)?.into_owned();
    let opened = visit.gateway.vault.open(Purpose::RequestState, &binding, &sealed).map_err(|_| refuse())?;
    let state: State = serde_json::from_slice(&opened).map_err(|_| refuse())?;
    if state.until < visit.platform.now().0 {
        return Err(refuse());
    }
    match state.inner {
        Some(inner) => params.put("requestState", &inner),
        None => {
            params.remove("requestState");
        }
    }
    Ok(Opened { binding, brought: state.brought })
}

/// What is inside a sealed `requestState`.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct State {
    /// Good until then.
    until: i64,
    /// The server's own state.
    inner: Option<String>,
    /// Where the call stands with its approval.
    #[serde(default)]
    brought: Brought,
}

/// Seals what the server gave, if anything: the client always carries a state, so that its retry is bound to this call.
pub(super) fn seal(
    platform: &impl Platform,
    vault: &Vault,
    binding: &[u8],
    inner: Option<String>,
    brought: Brought,
) -> Option<String> {
    let until = platform.now().plus(STATE_LIVES).0;
    let plain = serde_json::to_vec(&State { until, inner, brought }).ok()?;
    vault.seal(platform, Purpose::RequestState, binding, &plain)
}
