//! `Mcp-Session-Id` without sessions: a sealed note of what a legacy client said in its handshake, which it carries for us. Nothing is
//! stored, any replica reads it, and it is never a credential (2025-11-25, basic/transports, "session management").

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use schemas::ids::AgentId;
use serde_json::{Map, Value};

use super::Context;
use super::error::{INVALID_REQUEST, RpcError};
use crate::body::Body;
use crate::platform::Platform;
use crate::protocol::Legacy;
use crate::vault::Purpose;

const HEADER: &str = "mcp-session-id";
/// A client that comes back after this long, in milliseconds, shakes hands again.
const LIVES: i64 = 24 * 60 * 60 * 1000;

/// What the handshake said.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Session {
    /// The revision that was agreed on.
    revision: String,
    /// The client's capabilities, so far as they matter later: whether it can be sent to a URL.
    takes_urls: bool,
    /// Whose handshake it was.
    agent: AgentId,
    /// Good until then.
    until: i64,
}

impl Session {
    /// A session of an agent that just shook hands.
    pub(super) fn new(
        platform: &impl Platform,
        revision: Legacy,
        capabilities: &Map<String, Value>,
        agent: AgentId,
    ) -> Self {
        let takes_urls =
            capabilities.get("elicitation").is_some_and(|elicitation| elicitation.get("url").is_some());
        Self {
            revision: revision.as_str().to_owned(),
            takes_urls,
            agent,
            until: platform.now().plus(LIVES).0,
        }
    }

    /// Whether the client can be sent to a URL (2025-11-25, error -32042).
    pub(super) fn takes_urls(&self) -> bool {
        self.takes_urls
    }

    /// Whether this is the session of that agent.
    pub(super) fn is_of(&self, agent: &AgentId) -> bool {
        self.agent == *agent
    }

    /// Puts the session into the answer to the handshake.
    pub(super) fn attach<P: Platform, S>(&self, context: &Context<'_, P>, response: &mut Response<Body<S>>) {
        let sealed = serde_json::to_vec(self).ok().and_then(|plain| {
            context.gateway.vault.seal(context.platform, Purpose::Session, &place(context), &plain)
        });
        if let Some(value) = sealed.and_then(|sealed| HeaderValue::from_str(&sealed).ok()) {
            response.headers_mut().insert(HEADER, value);
        }
    }
}

/// The session a request carries, if it carries one.
pub(super) fn read<P: Platform>(
    context: &Context<'_, P>,
    headers: &HeaderMap,
) -> Result<Option<Session>, RpcError> {
    let Some(header) = headers.get(HEADER) else { return Ok(None) };
    header
        .to_str()
        .ok()
        .and_then(|sealed| context.gateway.vault.open(Purpose::Session, &place(context), sealed).ok())
        .and_then(|plain| serde_json::from_slice::<Session>(&plain).ok())
        .filter(|session| session.until > context.platform.now().0)
        .map(Some)
        .ok_or_else(gone)
}

/// What tells a client to shake hands again.
pub(super) fn gone() -> RpcError {
    RpcError::new(INVALID_REQUEST, "this session is over, or not yours: initialize again")
        .with_status(StatusCode::NOT_FOUND)
}

fn place<P: Platform>(context: &Context<'_, P>) -> Vec<u8> {
    format!("{}\n{}", context.org, context.toolbox).into_bytes()
}
