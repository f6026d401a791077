//! `subscriptions/listen`: the servers' streams, merged into one. It has no state beyond the stream: when it ends, the client listens
//! again.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, join_all, select};
use futures_util::stream::{LocalBoxStream, StreamExt as _, select_all, unfold};
use http::Response;
use schemas::audit::Ended;
use schemas::decision::Action;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::call::owner;
use super::error::{INVALID_PARAMS, RpcError};
use super::message::Call;
use super::{Context, Failure, event_stream, outbound};
use crate::audit::Conclusion;
use crate::body::Body;
use crate::json::Object;
use crate::platform::{Platform, PlatformError};
use crate::store::targets;
use crate::toolboxes::Discovered;
use crate::toolboxes::Server;
use crate::upstream;
use crate::upstream::events::{Decoder, event, keep_alive};
use crate::walk::{Recorded, Visit};

const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A notification is small, in bytes.
const NOTIFICATION: usize = 1024 * 1024;

/// What can be listened for: the filter's member, the capability and its switch, and the notification's method.
const CHANGES: [(&str, &str, &str, &str); 3] = [
    ("toolsListChanged", "tools", "listChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "prompts", "listChanged", "notifications/prompts/list_changed"),
    ("resourcesListChanged", "resources", "listChanged", "notifications/resources/list_changed"),
];
const RESOURCES: &str = "resourceSubscriptions";
const UPDATED: &str = "notifications/resources/updated";

/// What one server is listened to for.
struct Ear<'s> {
    server: &'s Server,
    filter: Map<String, Value>,
}

pub(super) async fn listen<P: Platform>(
    context: &Context<'_, P>,
    call: Call<'_>,
) -> Result<Response<Body<P::Stream>>, Failure> {
    let asked: Map<String, Value> =
        call.params.get("notifications").and_then(|text| serde_json::from_str(text).ok()).ok_or_else(
            || RpcError::new(INVALID_PARAMS, "`subscriptions/listen` needs `notifications`, an object"),
        )?;
    let found =
        targets::servers(context.platform, context.credential, (context.org, context.toolbox)).await?;
    let (visit, servers) = context.enter(call.method, found).await?;

    let ears = ears(&visit, &servers, &asked)?;
    let opened = join_all(ears.iter().map(|ear| open(&visit, &call, ear))).await;
    let mut streams = Vec::new();
    let mut conclusions = Vec::new();
    let mut honoured = Map::new();
    for (ear, opened) in ears.iter().zip(opened) {
        match opened {
            Ok(Some((stream, conclusion))) => {
                streams.push(stream);
                conclusions.push(conclusion);
                merge(&mut honoured, &ear.filter);
            }
            Ok(None) => {}
            // A server that is away is not listened to; the acknowledgement says so by what it leaves out.
            Err(Failure::Upstream(error)) => error.fault().log(&error.log()),
            Err(other) => return Err(other),
        }
    }
    let platform = context.platform.clone();
    let limit = context.gateway.settings.listen_limit;
    let clock = platform.clone();
    let listening = Listening {
        first: Some(acknowledgement(&call.id, &honoured)),
        id: call.id.clone(),
        honoured,
        sources: select_all(streams),
        conclusions,
        deadline: Box::pin(async move { clock.sleep(limit).await }),
        platform,
        over: false,
    };
    let body = unfold(listening, |mut listening| async move {
        let chunk = listening.next().await?;
        Some((Ok(chunk), listening))
    });
    Ok(event_stream(Body::Events(body.boxed_local())))
}

/// Which server is listened to for what: only what was asked for, what the server offers, and what the policies allow.
fn ears<'s, P: Platform>(
    visit: &Visit<'_, P>,
    servers: &'s [(Server, String)],
    asked: &Map<String, Value>,
) -> Result<Vec<Ear<'s>>, Failure> {
    let mut ears = Vec::new();
    for (server, said) in servers {
        let said = Discovered::parse(said);
        let mut filter = Map::new();
        for (member, capability, switch, _) in CHANGES {
            if asked.get(member) == Some(&Value::Bool(true)) && said.offers(capability, switch) {
                filter.insert(member.to_owned(), Value::Bool(true));
            }
        }
        let mut uris = Vec::new();
        for uri in
            asked.get(RESOURCES).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            let ours =
                owner(servers, Action::ReadResource, uri).is_some_and(|(owner, _)| owner.id == server.id);
            if ours
                && said.offers("resources", "subscribe")
                && visit.decide_item(Action::ReadResource, server, uri, None)?.is_ok()
            {
                uris.push(Value::from(uri));
            }
        }
        if !uris.is_empty() {
            filter.insert(RESOURCES.to_owned(), Value::Array(uris));
        }
        if !filter.is_empty() {
            ears.push(Ear { server, filter });
        }
    }
    Ok(ears)
}

type Source = LocalBoxStream<'static, String>;

/// Opens one server's stream, recorded like any other access.
async fn open<P: Platform>(
    visit: &Visit<'_, P>,
    call: &Call<'_>,
    ear: &Ear<'_>,
) -> Result<Option<(Source, Conclusion<P>)>, Failure> {
    let Ok(permit) = visit.decide_item(Action::ListResource, ear.server, "", None)? else { return Ok(None) };
    let about = visit.about(call.method.as_str(), Some(ear.server), None, None);
    let limit = visit.gateway.settings.listen_limit;
    let recorded = visit.record_quietly(&about, &permit, ear.server, limit).await?;
    let Some(Recorded { intent, delivery, .. }) = recorded else { return Ok(None) };
    let mut params = Object::default();
    params.put("notifications", &ear.filter);
    let message = outbound::own(call.method, &call.id, call, params);
    let sent = upstream::send(
        visit.gateway,
        visit.platform,
        &intent,
        &visit.toolbox,
        ear.server,
        &message,
        delivery.as_ref(),
    )
    .await;
    let Some(conclusion) = intent.conclusion() else { return Ok(None) };
    match sent {
        Ok(response) if upstream::is_event_stream(&response) => {
            Ok(Some((messages(response.into_body()), conclusion)))
        }
        Ok(response) => {
            conclusion.end(Ended::Failed);
            Err(upstream::refused_by(ear.server, response.status()).into())
        }
        Err(error) => {
            conclusion.end(Ended::Failed);
            Err(error.into())
        }
    }
}

/// The messages of a body. A body that breaks just ends.
fn messages<S>(body: S) -> Source
where
    S: futures_util::Stream<Item = Result<Bytes, PlatformError>> + 'static,
{
    let state = (body.boxed_local(), Decoder::new(NOTIFICATION));
    unfold(state, |(mut body, mut decoder)| async move {
        loop {
            if let Some(data) = decoder.next() {
                return Some((data, (body, decoder)));
            }
            let chunk = body.next().await?.ok()?;
            decoder.push(&chunk).ok()?;
        }
    })
    .boxed_local()
}

fn merge(honoured: &mut Map<String, Value>, filter: &Map<String, Value>) {
    for (member, value) in filter {
        match (honoured.get_mut(member), value) {
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
            (Some(_), _) => {}
            (None, _) => {
                honoured.insert(member.clone(), value.clone());
            }
        }
    }
}

fn id_value(id: &RawValue) -> Value {
    serde_json::from_str(id.get()).unwrap_or_default()
}

fn acknowledgement(id: &RawValue, honoured: &Map<String, Value>) -> Bytes {
    let message = json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": { "io.modelcontextprotocol/subscriptionId": id_value(id) }, "notifications": honoured },
    });
    event(&message.to_string())
}

struct Listening<P: Platform> {
    first: Option<Bytes>,
    id: Box<RawValue>,
    honoured: Map<String, Value>,
    sources: futures_util::stream::SelectAll<Source>,
    conclusions: Vec<Conclusion<P>>,
    deadline: LocalBoxFuture<'static, ()>,
    platform: P,
    over: bool,
}

impl<P: Platform> Listening<P> {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.over {
            return None;
        }
        loop {
            let clock = self.platform.clone();
            let quiet = Box::pin(async move { clock.sleep(KEEP_ALIVE).await });
            let waiting = select(quiet, &mut self.deadline);
            let message = if self.sources.is_empty() {
                // Nobody to listen to: the stream only lives until its time is up.
                match waiting.await {
                    Either::Left(_) => return Some(keep_alive()),
                    Either::Right(_) => return Some(self.end()),
                }
            } else {
                match select(self.sources.next(), waiting).await {
                    Either::Left((message, _)) => message,
                    Either::Right((Either::Left(_), _)) => return Some(keep_alive()),
                    Either::Right((Either::Right(_), _)) => return Some(self.end()),
                }
            };
            match message {
                Some(message) => {
                    if let Some(chunk) = self.take(&message) {
                        return Some(chunk);
                    }
                }
                // All servers ended their streams: so do we, and the client listens again.
                None => return Some(self.end()),
            }
        }
    }

    /// A server's notification under the client's subscription id, if it is one that was asked for.
    fn take(&mut self, message: &str) -> Option<Bytes> {
        let parsed = Object::parse(message).ok()?;
        let method = parsed.text("method")?;
        let params = parsed.object("params").unwrap_or_default();
        let honoured = if method == UPDATED {
            let uri = params.text("uri")?;
            self.honoured
                .get(RESOURCES)
                .and_then(Value::as_array)
                .is_some_and(|uris| uris.iter().any(|known| known.as_str() == Some(uri.as_ref())))
        } else {
            CHANGES.iter().any(|(member, _, _, name)| *name == method && self.honoured.contains_key(*member))
        };
        if !honoured {
            return None;
        }
        let mut meta = params.object("_meta").unwrap_or_default();
        meta.put("io.modelcontextprotocol/subscriptionId", &id_value(&self.id));
        let mut tagged = params.clone();
        tagged.set("_meta", meta.to_raw());
        let mut out = parsed.clone();
        out.set("params", tagged.to_raw());
        let mut text = String::new();
        out.write(&mut text);
        let chunk = event(&text);
        for conclusion in &mut self.conclusions {
            conclusion.count(chunk.len());
        }
        Some(chunk)
    }

    /// The graceful end (MCP 2026-07-28, subscriptions).
    fn end(&mut self) -> Bytes {
        self.over = true;
        for conclusion in self.conclusions.drain(..) {
            conclusion.end(Ended::Answered);
        }
        self.sources.clear();
        let message = json!({
            "jsonrpc": "2.0",
            "id": id_value(&self.id),
            "result": { "resultType": "complete", "_meta": { "io.modelcontextprotocol/subscriptionId": id_value(&self.id) } },
        });
        event(&message.to_string())
    }
}
