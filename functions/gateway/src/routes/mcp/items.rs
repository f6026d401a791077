//! `prompts/list`, `resources/list` and `resources/templates/list`: asked live, of all servers at once, merged in a fixed order, and
//! filtered by the policies. A server that is away is left out; the rest of the list is as good as ever.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use policies::{ListRequest, decide_many};
use schemas::audit::Ended;
use schemas::decision::{Action, Effect};
use serde_json::value::RawValue;

use super::message::Call;
use super::paging::{caching, open_cursor, seal_cursor};
use super::{Context, Failure, outbound};
use crate::json::{Object, push_text};
use crate::platform::Platform;
use crate::store::targets;
use crate::toolboxes::Discovered;
use crate::toolboxes::{Server, names};
use crate::upstream::read_message;
use crate::upstream::{self, UpstreamError};
use crate::walk::{Recorded, Visit};

/// How long clients may keep a list, and one that lacks a server, in milliseconds.
const TTL_MS: u64 = 60_000;
const TTL_PARTIAL_MS: u64 = 5_000;

/// What a list is about.
pub(super) struct Kind {
    /// The capability a server must have.
    capability: &'static str,
    /// The member of the result that holds the items.
    member: &'static str,
    /// The member of an item that names it.
    key: &'static str,
    action: Action,
}

pub(super) const PROMPTS: Kind =
    Kind { capability: "prompts", member: "prompts", key: "name", action: Action::ListPrompt };
pub(super) const RESOURCES: Kind =
    Kind { capability: "resources", member: "resources", key: "uri", action: Action::ListResource };
pub(super) const TEMPLATES: Kind = Kind {
    capability: "resources",
    member: "resourceTemplates",
    key: "uriTemplate",
    action: Action::ListResource,
};

/// One page of one server: its items, and its own cursor for the next.
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

pub(super) async fn list<P: Platform>(
    context: &Context<'_, P>,
    call: &Call<'_>,
    kind: &Kind,
) -> Result<String, Failure> {
    let cursors: Option<BTreeMap<String, String>> =
        open_cursor(context, call)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let found =
        targets::servers(context.platform, context.credential, (context.org, context.toolbox)).await?;
    let (visit, servers) = context.enter(call.method, found).await?;

    let asked: Vec<(&Server, Option<&String>)> = servers
        .iter()
        .filter(|(_, said)| Discovered::parse(said).has(kind.capability))
        .map(|(server, _)| server)
        .filter_map(|server| match &cursors {
            None => Some((server, None)),
            Some(cursors) => cursors.get(server.id.as_str()).map(|cursor| (server, Some(cursor))),
        })
        .collect();
    let pages =
        join_all(asked.iter().map(|(server, cursor)| page(&visit, call, kind, server, *cursor))).await;

    let list = ListRequest {
        principal: visit.principal(servers.iter().map(|(server, _)| server), std::iter::empty()),
        action: kind.action,
        context: visit.context(),
    };
    let mut out = format!("\"{}\":[", kind.member);
    let mut next = BTreeMap::new();
    let mut ttl = TTL_MS;
    let mut first = true;
    for ((server, _), page) in asked.iter().zip(pages) {
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => continue,
            Err(Failure::Upstream(error)) => {
                error.fault().log(&error.log());
                ttl = TTL_PARTIAL_MS;
                continue;
            }
            Err(other) => return Err(other),
        };
        if let Some(cursor) = page.next {
            next.insert(server.id.as_str().to_owned(), cursor);
        }
        let items: Vec<(Object<'_>, String)> = page
            .items
            .iter()
            .filter_map(|item| {
                let item = Object::parse(item.get()).ok()?;
                let name = item.text(kind.key)?.into_owned();
                Some((item, name))
            })
            .collect();
        let facts: Vec<_> = items.iter().map(|(_, name)| visit.item(kind.action, server, name)).collect();
        let decisions = decide_many(&visit.policies, &list, &facts);
        for ((mut item, name), decision) in items.into_iter().zip(decisions) {
            if decision.effect != Effect::Allow {
                continue;
            }
            if kind.action == Action::ListPrompt {
                item.put("name", &names::public(&server.prefix, &names::alias(&name)));
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            item.write(&mut out);
        }
    }
    out.push(']');
    if !next.is_empty()
        && let Ok(plain) = serde_json::to_vec(&next)
        && let Some(cursor) = seal_cursor(context, call.method, &plain)
    {
        out.push_str(",\"nextCursor\":");
        push_text(&mut out, &cursor);
    }
    out.push_str(&caching(call.era, ttl));
    Ok(out)
}

/// Asks one server for one page, if the policies let the caller see anything of it.
async fn page<P: Platform>(
    visit: &Visit<'_, P>,
    call: &Call<'_>,
    kind: &Kind,
    server: &Server,
    cursor: Option<&String>,
) -> Result<Option<Page>, Failure> {
    // May the caller list this server at all? Its own name stands for the items we have not seen yet; each is decided upon later.
    let decision = visit.decide_item(kind.action, server, "", None)?;
    let about = visit.about(call.method.as_str(), Some(server), None, None);
    let Ok(permit) = decision else { return Ok(None) };
    let Some(Recorded { intent, delivery, .. }) =
        visit.record_quietly(&about, &permit, server, visit.gateway.settings.call_limit).await?
    else {
        return Ok(None);
    };

    let mut params = Object::default();
    if let Some(cursor) = cursor {
        params.put("cursor", cursor);
    }
    let message = outbound::own(call.method, &call.id, call, params);
    let answer = match upstream::send(
        visit.gateway,
        visit.platform,
        &intent,
        &visit.toolbox,
        server,
        &message,
        delivery.as_ref(),
    )
    .await
    {
        Ok(response) => read_message(visit.gateway, visit.platform, server, response).await,
        Err(error) => Err(error),
    };
    let page = answer.and_then(|text| read_page(server, kind, &text));
    if let Some(mut conclusion) = intent.conclusion() {
        match &page {
            Ok(page) => {
                conclusion.count(page.items.iter().map(|item| item.get().len()).sum());
                conclusion.end(Ended::Answered);
            }
            Err(_) => conclusion.end(Ended::Failed),
        }
    }
    page.map(Some).map_err(Failure::Upstream)
}

fn read_page(server: &Server, kind: &Kind, text: &str) -> Result<Page, UpstreamError> {
    let failed =
        |reason: &str| UpstreamError::Failed { server: server.name.to_string(), reason: reason.to_owned() };
    let message = Object::parse(text).map_err(|_| failed("its answer is no MCP message"))?;
    let result = message.object("result").ok_or_else(|| failed("it refused to list"))?;
    let items = result
        .get(kind.member)
        .and_then(|items| serde_json::from_str(items).ok())
        .ok_or_else(|| failed("its list is no list"))?;
    Ok(Page { items, next: result.text("nextCursor").map(std::borrow::Cow::into_owned) })
}
