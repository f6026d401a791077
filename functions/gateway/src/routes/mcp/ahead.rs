//! The first of two stages. A modern request says in its head what it asks for: that is enough to find out who asks and for what, and
//! to refuse what the policies allow nobody whatever else the message says, before its body is read. The second stage holds the message
//! against its head, and decides.

use http::HeaderMap;
use policies::{ArgumentNames, Known};
use schemas::decision::{Action, DecisionRequest};
use schemas::ids::Timestamp;
use serde_json::{Map, Value};

use super::call::owner;
use super::message::{announced, announced_argument};
use super::method::Method;
use super::{Context, Failure};
use crate::audit::About;
use crate::platform::Platform;
use crate::store::targets;
use crate::toolboxes::{Server, Tool};
use crate::walk::Visit;

/// A body up to this long, in bytes, is read at once: it is mostly there already, and it has the id that a refusal should name.
const SMALL: u64 = 64 * 1024;
/// What was found out ahead is good for so long, in milliseconds. A body can be sent slowly, and what is revoked or suspended meanwhile
/// must not wait for it.
const FRESH: i64 = 2_000;

const REASON: &str = "decided on the head of the request; its arguments were not read";

/// What was found out before the body was read.
pub(super) struct Ahead<'g, P: Platform> {
    method: Method,
    /// What was asked for, as the head says.
    asked: String,
    at: Timestamp,
    visit: Visit<'g, P>,
    target: Target,
}

enum Target {
    Tool(Server, Box<Tool>),
    /// A prompt or resource, by its server's own name.
    Item(Server, String),
}

/// Whether so long a body is worth deciding before it is read.
pub(super) fn is_worth_it(length: Option<u64>) -> bool {
    length.is_none_or(|length| length > SMALL)
}

/// Looks at the head. Answers what was found out, or why the body need not be read.
pub(super) async fn look<'g, P: Platform>(
    context: &Context<'g, P>,
    headers: &HeaderMap,
) -> Result<Option<Ahead<'g, P>>, Failure> {
    let Some((method, asked)) = announced(headers) else { return Ok(None) };
    let at = context.platform.now();
    let (visit, target) = match method {
        Method::CallTool => {
            let (visit, server, tool) = find_tool(context, &asked).await?;
            look_at_tool(&visit, headers, &asked, (&server, &tool)).await?;
            (visit, Target::Tool(server, Box::new(tool)))
        }
        Method::GetPrompt | Method::ReadResource => {
            let action = if method == Method::GetPrompt { Action::GetPrompt } else { Action::ReadResource };
            let (visit, server, name) = find_item(context, method, action, &asked).await?;
            let request = visit.item_request(action, &server, &name, None)?;
            let about = visit.about(method.as_str(), Some(&server), Some(&asked), None);
            refuse_what_is_certain(&visit, &about, request, &Known::NONE).await?;
            (visit, Target::Item(server, name))
        }
        Method::Discover
        | Method::ListTools
        | Method::ListPrompts
        | Method::ListResources
        | Method::ListTemplates
        | Method::Complete
        | Method::Listen
        | Method::Initialize
        | Method::Ping
        | Method::SetLevel
        | Method::Subscribe
        | Method::Unsubscribe => return Ok(None),
    };
    Ok(Some(Ahead { method, asked, at, visit, target }))
}

/// Of the arguments those are known that headers mirror.
async fn look_at_tool<P: Platform>(
    visit: &Visit<'_, P>,
    headers: &HeaderMap,
    asked: &str,
    (server, tool): (&Server, &Tool),
) -> Result<(), Failure> {
    let mut arguments = Map::new();
    let (mut args, mut input) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for (name, path) in &tool.mirrored {
        if let Some(text) = announced_argument(headers, name)
            && put(&mut arguments, path, text)
        {
            args.insert(path.join("."));
            // An object that is known in part is not known.
            if let [name] = path.as_slice() {
                input.insert(name.clone());
            }
        }
    }
    let arguments = Value::Object(arguments).to_string();
    // Names that flatten to one are for the second stage to refuse.
    let Ok(request) = visit.tool_request(server, tool, Some(&arguments), None) else { return Ok(()) };
    let known = Known { args: ArgumentNames::Some(args), input: ArgumentNames::Some(input) };
    let about = visit.about(Method::CallTool.as_str(), Some(server), Some(asked), None);
    refuse_what_is_certain(visit, &about, request, &known).await
}

/// Puts an argument where it belongs. Answers whether there was room.
fn put(arguments: &mut Map<String, Value>, path: &[String], text: String) -> bool {
    match path {
        [] => false,
        [name] => arguments.insert(name.clone(), text.into()).is_none(),
        [name, rest @ ..] => arguments
            .entry(name.clone())
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
            .is_some_and(|inner| put(inner, rest, text)),
    }
}

/// Refuses, and records, what the policies deny whatever is still unknown.
async fn refuse_what_is_certain<P: Platform>(
    visit: &Visit<'_, P>,
    about: &About,
    request: DecisionRequest,
    known: &Known,
) -> Result<(), Failure> {
    match visit.certain_denial(request, known) {
        Some(denial) => Err(visit.deny_because(about, &denial, REASON).await?.into()),
        None => Ok(()),
    }
}

/// The tool of that public name: as it was found ahead, or else found now.
pub(super) async fn tool<'g, P: Platform>(
    context: &Context<'g, P>,
    public: &str,
) -> Result<(Visit<'g, P>, Server, Tool), Failure> {
    match taken(context, Method::CallTool, public) {
        Some((visit, Target::Tool(server, tool))) => Ok((visit, server, *tool)),
        Some((_, Target::Item(..))) | None => find_tool(context, public).await,
    }
}

/// The prompt or resource that is asked for, by its server's own name: as it was found ahead, or else found now.
pub(super) async fn item<'g, P: Platform>(
    context: &Context<'g, P>,
    method: Method,
    action: Action,
    asked: &str,
) -> Result<(Visit<'g, P>, Server, String), Failure> {
    match taken(context, method, asked) {
        Some((visit, Target::Item(server, name))) => Ok((visit, server, name)),
        Some((_, Target::Tool(..))) | None => find_item(context, method, action, asked).await,
    }
}

fn taken<'g, P: Platform>(
    context: &Context<'g, P>,
    method: Method,
    asked: &str,
) -> Option<(Visit<'g, P>, Target)> {
    let ahead = context.ahead.take()?;
    let age = context.platform.now().0.saturating_sub(ahead.at.0);
    let fits = ahead.method == method && ahead.asked == asked && (0..FRESH).contains(&age);
    fits.then(|| (Visit { traceparent: context.traceparent.clone(), ..ahead.visit }, ahead.target))
}

async fn find_tool<'g, P: Platform>(
    context: &Context<'g, P>,
    public: &str,
) -> Result<(Visit<'g, P>, Server, Tool), Failure> {
    let place = (context.org, context.toolbox);
    let found = targets::tool(context.platform, context.credential, place, public).await?;
    let (visit, target) = context.enter(Method::CallTool, found).await?;
    match target {
        Some((server, tool)) => Ok((visit, server, tool)),
        None => Err(visit.refuse_unknown(Method::CallTool.as_str(), public).await?.into()),
    }
}

async fn find_item<'g, P: Platform>(
    context: &Context<'g, P>,
    method: Method,
    action: Action,
    asked: &str,
) -> Result<(Visit<'g, P>, Server, String), Failure> {
    let place = (context.org, context.toolbox);
    let found = targets::servers(context.platform, context.credential, place).await?;
    let (visit, servers) = context.enter(method, found).await?;
    let found = owner(&servers, action, asked).map(|(server, name)| (server.clone(), name));
    let Some((server, name)) = found else {
        return Err(visit.refuse_unknown(method.as_str(), asked).await?.into());
    };
    Ok((visit, server, name))
}
