//! To the MCP server: a container behind a provisioner, or a remote address. Always MCP 2026-07-28; the caller's own token never travels.

pub(crate) mod events;
mod provisioner;

pub(crate) use provisioner::status as provisioner_status;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _, pin_mut};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::Gateway;
use crate::audit::Intent;
use crate::platform::{Platform, PlatformError};
use crate::toolboxes::{Place, Server, Toolbox};

/// One MCP message for a server.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) method: &'static str,
    /// What `Mcp-Name` mirrors.
    pub(crate) name: Option<String>,
    pub(crate) param_headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// Why a server gave no answer. The text is safe for the caller: it names the server and no address.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Nobody answers there.
    #[error("server `{server}` can't be reached at the moment; try again, or tell whoever runs it")]
    Unreachable { server: String, log: String },
    /// It answered with something that is no answer.
    #[error("server `{server}` failed: {reason}")]
    Failed { server: String, reason: String },
    /// It took too long.
    #[error("server `{server}` did not answer in time")]
    Late { server: String },
    /// The provisioner can't run it.
    #[error("server `{server}` can't be started: {reason}")]
    Provisioner { server: String, reason: String },
    /// There is no provisioner.
    #[error(
        "server `{server}` runs in a container, and this gateway has no provisioner: set `AMBIT_PROVISIONER_URL`"
    )]
    NoProvisioner { server: String },
}

impl UpstreamError {
    /// What the log is told beyond the text for the caller.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Unreachable { log, .. } => format!("{self}: {log}"),
            Self::Failed { .. }
            | Self::Late { .. }
            | Self::Provisioner { .. }
            | Self::NoProvisioner { .. } => self.to_string(),
        }
    }

    /// Whose fault it is.
    pub(crate) fn fault(&self) -> crate::error::Fault {
        match self {
            Self::Unreachable { .. } | Self::Failed { .. } | Self::Late { .. } => {
                crate::error::Fault::Upstream
            }
            Self::Provisioner { .. } | Self::NoProvisioner { .. } => crate::error::Fault::Provisioner,
        }
    }
}

/// Sends a message and answers when the head of the response is there. The intent shows that the record of it is durable.
pub(crate) async fn send<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    _recorded: &Intent<P>,
    toolbox: &Toolbox,
    server: &Server,
    message: &Message,
) -> Result<Response<P::Stream>, UpstreamError> {
    let call = async {
        match &server.place {
            Place::Remote(url) => remote(platform, server, url, message).await,
            Place::Workload(spec) => {
                provisioner::send(gateway, platform, toolbox, server, spec, message).await
            }
        }
    };
    let limit = platform.sleep(gateway.settings.call_limit);
    pin_mut!(call, limit);
    match select(call, limit).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => Err(UpstreamError::Late { server: server.name.to_string() }),
    }
}

async fn remote<P: Platform>(
    platform: &P,
    server: &Server,
    url: &str,
    message: &Message,
) -> Result<Response<P::Stream>, UpstreamError> {
    let request = request(url, message).map_err(|error| UpstreamError::Failed {
        server: server.name.to_string(),
        reason: error.to_string(),
    })?;
    platform.send(request).await.map_err(|error| unreachable(server, &error))
}

fn unreachable(server: &Server, error: &PlatformError) -> UpstreamError {
    UpstreamError::Unreachable { server: server.name.to_string(), log: error.to_string() }
}

/// The request of a message, by the header rules of MCP 2026-07-28.
fn request(url: &str, message: &Message) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", crate::routes::mcp::MODERN)
        .header("mcp-method", message.method);
    if let Some(name) = &message.name {
        request = request.header("mcp-name", crate::routes::mcp::encode(name).as_ref());
    }
    for (name, value) in &message.param_headers {
        request = request.header(name, value);
    }
    request.body(message.body.clone())
}

/// Whether a response is a stream of events.
pub(crate) fn is_event_stream<S>(response: &Response<S>) -> bool {
    content_type(response).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// Whether a response is JSON.
pub(crate) fn is_json<S>(response: &Response<S>) -> bool {
    content_type(response).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

fn content_type<S>(response: &Response<S>) -> Option<&str> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// Why a status without JSON-RPC body is no answer.
pub(crate) fn refused_by(server: &Server, status: StatusCode) -> UpstreamError {
    UpstreamError::Failed {
        server: server.name.to_string(),
        reason: format!("it answered with status {}", status.as_u16()),
    }
}

/// Reads a body to its end, up to `limit` bytes.
pub(crate) async fn read_whole<S>(body: S, limit: usize) -> Result<Bytes, PlatformError>
where
    S: Stream<Item = Result<Bytes, PlatformError>>,
{
    pin_mut!(body);
    let Some(first) = body.next().await.transpose()? else { return Ok(Bytes::new()) };
    // Most answers come in one piece: no copy then.
    let Some(second) = body.next().await.transpose()? else {
        return if first.len() > limit { Err(too_large(limit)) } else { Ok(first) };
    };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    loop {
        if whole.len() > limit {
            return Err(too_large(limit));
        }
        match body.next().await.transpose()? {
            Some(chunk) => whole.extend_from_slice(&chunk),
            None => return Ok(whole.freeze()),
        }
    }
}

fn too_large(limit: usize) -> PlatformError {
    PlatformError::Broken(format!("the answer is larger than {limit} bytes"))
}
