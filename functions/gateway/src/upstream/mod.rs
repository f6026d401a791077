//! To the MCP server: a container behind a provisioner, or a remote address. Always MCP 2026-07-28; the caller's own token never travels.

mod delivery;
pub(crate) mod events;
mod provisioner;
mod transit;

pub(crate) use delivery::Delivery;
pub(crate) use provisioner::{end_subject, status as provisioner_status};
pub(crate) use transit::Transit;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use schemas::provisioner::MAX_MESSAGE_BYTES;

use self::events::Decoder;
use crate::Gateway;
use crate::audit::Intent;
use crate::body::read_whole;
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
    Provisioner { server: String, reason: String, log: Option<String> },
    /// There is no provisioner.
    #[error(
        "server `{server}` runs in a container, and this gateway has no provisioner: set `AMBIT_PROVISIONER_URL`"
    )]
    NoProvisioner { server: String },
    /// It takes no credential the way it is set up to.
    #[error("server `{server}` is set up wrongly: {reason}")]
    Misplaced { server: String, reason: String },
}

impl UpstreamError {
    /// What the log and operators are told beyond the text for the caller.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Unreachable { log, .. } | Self::Provisioner { log: Some(log), .. } => {
                format!("{self}: {log}")
            }
            Self::Failed { .. }
            | Self::Late { .. }
            | Self::Provisioner { .. }
            | Self::NoProvisioner { .. }
            | Self::Misplaced { .. } => self.to_string(),
        }
    }

    /// Whose fault it is.
    pub(crate) fn fault(&self) -> crate::error::Fault {
        match self {
            Self::Unreachable { .. } | Self::Failed { .. } | Self::Late { .. } | Self::Misplaced { .. } => {
                crate::error::Fault::Upstream
            }
            Self::Provisioner { .. } | Self::NoProvisioner { .. } => crate::error::Fault::Provisioner,
        }
    }
}

/// Sends a message and answers when the head of the response is there. The intent shows that the record of it is durable,
/// and that of the use of the credential with it.
pub(crate) async fn send<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    _recorded: &Intent<P>,
    toolbox: &Toolbox,
    server: &Server,
    message: &Message,
    credential: Option<&Delivery>,
) -> Result<Response<P::Stream>, UpstreamError> {
    let call = async {
        match &server.place {
            Place::Remote(url) => remote(platform, server, url, message, credential).await,
            Place::Workload(spec) => {
                provisioner::send(gateway, platform, toolbox, server, spec, message, credential).await
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
    credential: Option<&Delivery>,
) -> Result<Response<P::Stream>, UpstreamError> {
    let mut request = request(url, message).map_err(|error| UpstreamError::Failed {
        server: server.name.to_string(),
        reason: error.to_string(),
    })?;
    if let Some(credential) = credential {
        credential.put_into(server, &mut request)?;
    }
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
        .header("mcp-protocol-version", crate::protocol::MODERN)
        .header("mcp-method", message.method);
    if let Some(name) = &message.name {
        request = request.header("mcp-name", crate::protocol::encode(name).as_ref());
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
        reason: match status {
            StatusCode::UNAUTHORIZED => {
                "it answered with status 401: it wants an account; say at which provider with the server's \
                 `account`, and connect yours there before you look at it with your own key"
                    .to_owned()
            }
            status => format!("it answered with status {}", status.as_u16()),
        },
    }
}

/// Reads the one message of a response that is wanted whole: JSON, or the last event of a stream.
pub(crate) async fn read_message<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    server: &Server,
    response: Response<P::Stream>,
) -> Result<String, UpstreamError> {
    let failed =
        |reason: &str| UpstreamError::Failed { server: server.name.to_string(), reason: reason.to_owned() };
    let streamed = is_event_stream(&response);
    if !streamed && !is_json(&response) {
        return Err(refused_by(server, response.status()));
    }
    let body = read_whole(platform, response.into_body(), MAX_MESSAGE_BYTES, gateway.settings.call_limit)
        .await
        .map_err(|error| failed(error.told()))?;
    if !streamed {
        return String::from_utf8(body.to_vec()).map_err(|_| failed("its answer is not UTF-8"));
    }
    let mut decoder = Decoder::new(MAX_MESSAGE_BYTES * 2);
    decoder.push(&body).map_err(|error| failed(error.told()))?;
    let mut last = None;
    while let Some(data) = decoder.next() {
        last = Some(data);
    }
    last.ok_or_else(|| failed("it ended the stream without an answer"))
}
