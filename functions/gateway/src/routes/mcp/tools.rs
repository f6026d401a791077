//! `tools/list`: the approved definitions from our own store, as far as the policies let this caller see them.

use schemas::decision::{Action, ResourceFacts};

use super::message::Call;
use super::paging::{caching, open_cursor, seal_cursor};
use super::{Context, Failure};
use crate::audit;
use crate::json::{self, Object};
use crate::platform::Platform;
use crate::store::targets;
use crate::toolboxes::{Server, Tool, names};

/// Tools on one page.
const PAGE: usize = 500;
/// How long clients may keep a page, in milliseconds.
const TTL_MS: u64 = 60_000;

pub(super) async fn list<P: Platform>(context: &Context<'_, P>, call: &Call<'_>) -> Result<String, Failure> {
    let after = open_cursor(context, call)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let found = targets::tools(context.platform, context.credential, (context.org, context.toolbox)).await?;
    let (visit, tools) = context.enter(call.method, found).await?;

    let list = policies::ListRequest {
        principal: visit.principal(
            tools.iter().map(|(server, _)| server),
            tools.iter().map(|(server, tool)| (server, tool)),
        ),
        action: Action::ListTool,
        context: visit.context(),
    };
    let facts: Vec<_> =
        tools.iter().map(|(server, tool)| ResourceFacts::Tool(tool.facts(server, &visit.toolbox))).collect();
    let allowed = policies::visible(&visit.policies, &list, &facts);
    let mut visible: Vec<(String, &Server, &Tool)> = tools
        .iter()
        .zip(&allowed)
        .filter(|(_, allowed)| **allowed)
        .map(|((server, tool), _)| (names::public(&server.prefix, &tool.alias), server, tool))
        .collect();
    let mut seen = std::collections::HashSet::new();
    visible.retain(|(name, ..)| seen.insert(name.clone()));

    let about = visit.about(call.method.as_str(), None, None, None);
    audit::note(context.platform, &about, format!("{} of {} tools are visible", visible.len(), tools.len()))
        .await?;

    let start = after.map_or(0, |after| {
        visible.iter().position(|(name, ..)| *name == after).map_or(visible.len(), |at| at + 1)
    });
    let page: Vec<_> = visible.iter().skip(start).take(PAGE).collect();
    let mut out = String::from("\"tools\":[");
    for (index, (name, _, tool)) in page.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_definition(&mut out, name, tool);
    }
    out.push(']');
    if start + page.len() < visible.len()
        && let Some((name, ..)) = page.last()
        && let Some(cursor) = seal_cursor(context, call.method, name.as_bytes())
    {
        out.push_str(",\"nextCursor\":");
        json::push_text(&mut out, &cursor);
    }
    out.push_str(&caching(call.era, TTL_MS));
    Ok(out)
}

/// The definition as approved, byte for byte, under its public name.
fn write_definition(out: &mut String, name: &str, tool: &Tool) {
    if name == tool.name {
        out.push_str(&tool.definition);
    } else if let Ok(mut definition) = Object::parse(&tool.definition) {
        definition.put("name", &name);
        definition.write(out);
    }
}
