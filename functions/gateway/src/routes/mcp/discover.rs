//! What a toolbox offers: `server/discover`, and its legacy form, `initialize`.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::error::{INVALID_PARAMS, RpcError, answer};
use super::message::Call;
use super::method::Method;
use super::session::Session;
use super::{Context, Failure};
use crate::body::Body;
use crate::platform::Platform;
use crate::protocol::{Era, Legacy, META_SERVER, MODERN};
use crate::store::targets;
use crate::toolboxes::{Discovered, Server};
use crate::walk::Visit;

/// How long clients may keep what a toolbox offers, in milliseconds.
const TTL_MS: u64 = 300_000;

pub(super) async fn discover<P: Platform>(context: &Context<'_, P>) -> Result<String, Failure> {
    let (_, servers) = servers(context, Method::Discover).await?;
    let mut result = json!({
        "supportedVersions": [MODERN, Legacy::November2025.as_str(), Legacy::June2025.as_str(), Legacy::March2025.as_str()],
        "capabilities": capabilities(&servers, Era::Modern),
        "resultType": "complete",
        "ttlMs": TTL_MS,
        "cacheScope": "private",
        "_meta": { META_SERVER: server_info() },
    });
    if let (Some(instructions), Some(result)) = (instructions(&servers), result.as_object_mut()) {
        result.insert("instructions".into(), instructions.into());
    }
    Ok(members(&result))
}

pub(super) async fn initialize<P: Platform>(
    context: &Context<'_, P>,
    call: &Call<'_>,
) -> Result<Response<Body<P::Stream>>, Failure> {
    let asked = call
        .params
        .text("protocolVersion")
        .ok_or_else(|| RpcError::new(INVALID_PARAMS, "`initialize` needs `protocolVersion`, a string"))?;
    let revision = Legacy::parse(&asked).unwrap_or(Legacy::November2025);
    let (visit, servers) = servers(context, Method::Initialize).await?;
    let mut result = json!({
        "protocolVersion": revision.as_str(),
        "capabilities": capabilities(&servers, Era::Legacy(revision)),
        "serverInfo": server_info(),
    });
    if let (Some(instructions), Some(result)) = (instructions(&servers), result.as_object_mut()) {
        result.insert("instructions".into(), instructions.into());
    }
    let session = Session::new(context.platform, revision, &client_capabilities(call), visit.caller.agent_id);
    let mut response =
        answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, call.id.get()));
    session.attach(context, &mut response);
    Ok(response)
}

/// `ping`, `logging/setLevel` and the subscription requests of legacy clients: known callers get an empty result. There is no session
/// to keep a level or a subscription in; log messages travel on the stream of the call they belong to.
pub(super) async fn acknowledge<P: Platform>(
    context: &Context<'_, P>,
    call: &Call<'_>,
) -> Result<String, Failure> {
    let found =
        targets::toolbox(context.platform, context.credential, (context.org, context.toolbox)).await?;
    context.enter(call.method, found).await?;
    Ok(String::new())
}

fn client_capabilities(call: &Call<'_>) -> Map<String, Value> {
    call.params.get("capabilities").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

async fn servers<'a, P: Platform>(
    context: &Context<'a, P>,
    method: Method,
) -> Result<(Visit<'a, P>, Vec<(Server, Discovered)>), Failure> {
    let found =
        targets::servers(context.platform, context.credential, (context.org, context.toolbox)).await?;
    let (visit, servers) = context.enter(method, found).await?;
    Ok((visit, servers.into_iter().map(|(server, said)| (server, Discovered::parse(&said))).collect()))
}

/// What the servers can do together, as far as we relay it.
fn capabilities(servers: &[(Server, Discovered)], era: Era) -> Value {
    let any = |capability: &str| servers.iter().any(|(_, server)| server.has(capability));
    // Changes are told on `subscriptions/listen`, which legacy clients don't have.
    let told = |capability: &str, switch: &str| {
        era == Era::Modern && servers.iter().any(|(_, server)| server.offers(capability, switch))
    };
    let mut all = Map::new();
    all.insert("tools".into(), json!({ "listChanged": told("tools", "listChanged") }));
    if any("prompts") {
        all.insert("prompts".into(), json!({ "listChanged": told("prompts", "listChanged") }));
    }
    if any("resources") {
        all.insert(
            "resources".into(),
            json!({ "listChanged": told("resources", "listChanged"), "subscribe": told("resources", "subscribe") }),
        );
    }
    for capability in ["completions", "logging"] {
        if any(capability) {
            all.insert(capability.into(), json!({}));
        }
    }
    Value::Object(all)
}

fn instructions(servers: &[(Server, Discovered)]) -> Option<String> {
    let told: Vec<_> = servers
        .iter()
        .filter_map(|(server, said)| said.instructions.as_ref().map(|text| (server, text)))
        .collect();
    match told.as_slice() {
        [] => None,
        [(_, only)] if servers.len() == 1 => Some((*only).clone()),
        many => Some(
            many.iter()
                .map(|(server, text)| format!("# {}\n\n{text}", server.name))
                .collect::<Vec<_>>()
                .join("\n\n"),
        ),
    }
}

fn server_info() -> Value {
    json!({ "name": "ambit", "title": "Ambit", "version": env!("CARGO_PKG_VERSION") })
}

/// The members of an object, without its braces.
fn members(value: &Value) -> String {
    let text = value.to_string();
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned()
}
