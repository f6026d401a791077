//! `/mcp/{org}/{toolbox}`: Model Context Protocol 2026-07-28 and, on the same URL, its handshake revisions, without sessions.

mod ahead;
mod answer;
mod asking;
mod batch;
mod call;
mod challenge;
mod complete;
mod connecting;
mod discover;
mod error;
mod items;
mod listen;
mod message;
mod method;
mod outbound;
mod paging;
mod preliminary;
mod session;
mod state;
mod tools;

use std::cell::Cell;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Response, StatusCode, header};
use schemas::decision::Action;
use schemas::names::{OrgName, ToolboxName};
use schemas::provisioner::MAX_MESSAGE_BYTES;

use self::ahead::Ahead;
use self::error::RpcError;
use self::message::{Call, Message, Refused};
use self::method::Method;
use self::session::Session;
use super::metadata;
use crate::Gateway;
use crate::audit::Told;
use crate::body::{Body, Incoming, receive};
use crate::error::Fault;
use crate::identity;
use crate::limits::{Class, TooOften, Who};
use crate::platform::Platform;
use crate::protocol::Era;
use crate::store::callers::Credential;
use crate::store::targets::Found;
use crate::upstream::UpstreamError;
use crate::walk::{self, Address, Refusal, Visit};

pub(crate) use error::answer;

/// What a method gives: a whole result (the members of `result`), or an HTTP response that is already under way.
enum Answer<S> {
    Result(String),
    Response(Response<Body<S>>),
}

/// Why a method gives nothing.
#[derive(Debug)]
enum Failure {
    Rpc(RpcError),
    Refusal(Refusal),
    Upstream(UpstreamError),
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<crate::platform::PlatformError> for Failure {
    fn from(error: crate::platform::PlatformError) -> Self {
        Self::Refusal(error.into())
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

/// Everything a method needs to know of a request.
struct Context<'a, P: Platform> {
    gateway: &'a Gateway,
    platform: &'a P,
    org: &'a OrgName,
    toolbox: &'a ToolboxName,
    credential: &'a Credential,
    traceparent: Option<String>,
    session: Option<Session>,
    /// What was found out before the body was read.
    ahead: Cell<Option<Ahead<'a, P>>>,
}

impl<'a, P: Platform> Context<'a, P> {
    /// Steps 2 and 3 of the walk, and whether the session that a legacy client carries is its own.
    async fn enter<T>(&self, method: Method, found: Found<T>) -> Result<(Visit<'a, P>, T), Failure> {
        let entered = walk::enter(self.gateway, self.platform, self.address(method), found).await?;
        for who in self.askers() {
            self.gateway.limits.charge(self.platform.now(), class(method), who);
        }
        match &self.session {
            Some(session) if !session.is_of(&entered.0.caller.agent_id) => Err(session::gone().into()),
            _ => Ok(entered),
        }
    }

    /// Whether whoever shows this credential may ask now. Before anything else is looked up; what they ask is charged once they are in.
    fn ask(&self, class: Class) -> Result<(), TooOften> {
        let now = self.platform.now();
        self.askers().iter().try_for_each(|who| self.gateway.limits.ask(now, class, who))
    }

    fn askers(&self) -> [Who; 2] {
        [Who::One(self.credential.fingerprint()), Who::Org(self.org.to_string())]
    }

    fn address(&self, method: Method) -> Address<'_> {
        Address {
            org: self.org,
            toolbox: self.toolbox,
            credential: self.credential,
            method: method.as_str(),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// What a method counts as.
fn class(method: Method) -> Class {
    match method {
        Method::CallTool | Method::GetPrompt | Method::ReadResource | Method::Complete | Method::Listen => {
            Class::Call
        }
        Method::Discover
        | Method::ListTools
        | Method::ListPrompts
        | Method::ListResources
        | Method::ListTemplates
        | Method::Initialize
        | Method::Ping
        | Method::SetLevel
        | Method::Subscribe
        | Method::Unsubscribe => Class::List,
    }
}

/// 429 as JSON-RPC says it.
fn too_often<S>(
    often: TooOften,
    era: Option<Era>,
    id: Option<&serde_json::value::RawValue>,
) -> Response<Body<S>> {
    let error = RpcError::new(error::INTERNAL, often.to_string()).with_status(StatusCode::TOO_MANY_REQUESTS);
    let mut response = error.answer(era, id);
    often.mark(&mut response);
    response
}

/// Serves one HTTP request.
pub(crate) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    head: &Parts,
    body: impl Incoming,
    (org, toolbox): (&str, &str),
) -> Response<Body<P::Stream>> {
    let origin = head.headers.get(header::ORIGIN).cloned();
    let mut response = match preliminary::refuse(gateway, head, body.length()) {
        // Refused origins get no word from us that a page could read.
        Some(refused) if refused.status() == StatusCode::FORBIDDEN => return refused,
        Some(refused) => refused,
        None if head.method == HttpMethod::OPTIONS => preliminary::preflight(),
        None => match (OrgName::parse(org), ToolboxName::parse(toolbox)) {
            (Ok(org), Ok(toolbox)) => post(gateway, platform, (&head.headers, body), &org, &toolbox).await,
            _ => RpcError::of(Fault::Denied, "no organisation and toolbox can have such names")
                .with_status(StatusCode::NOT_FOUND)
                .answer(None, None),
        },
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("www-authenticate, mcp-session-id"),
        );
    }
    response
}

/// Who speaks with what: the same for every message of a POST.
struct Parties<'a, P: Platform> {
    gateway: &'a Gateway,
    platform: &'a P,
    org: &'a OrgName,
    toolbox: &'a ToolboxName,
    credential: Credential,
}

impl<'a, P: Platform> Parties<'a, P> {
    fn context(&'a self, traceparent: Option<String>, ahead: Option<Ahead<'a, P>>) -> Context<'a, P> {
        let Self { gateway, platform, org, toolbox, credential } = self;
        let ahead = Cell::new(ahead);
        Context { gateway, platform, org, toolbox, credential, traceparent, session: None, ahead }
    }
}

async fn post<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (headers, body): (&HeaderMap, impl Incoming),
    org: &OrgName,
    toolbox: &ToolboxName,
) -> Response<Body<P::Stream>> {
    let audience = metadata::resource(gateway, org, toolbox);
    let credential = match identity::credential(gateway, platform, headers, org, &audience).await {
        Ok(credential) => credential,
        // Whoever sends nonsense without a credential is told first that one is needed.
        Err(error) => return challenge::unproven(gateway, org, toolbox, &error),
    };
    let parties = Parties { gateway, platform, org, toolbox, credential };
    let ahead = if ahead::is_worth_it(body.length()) {
        let context = parties.context(None, None);
        if let Err(often) = context.ask(Class::Call) {
            return too_often(often, None, None);
        }
        // On the heap, as it is seldom needed.
        match Box::pin(ahead::look(&context, headers)).await {
            Ok(ahead) => ahead,
            Err(failure) => return render(&context, Era::Modern, None, failure),
        }
    } else {
        None
    };
    let body = match receive(platform, body, MAX_MESSAGE_BYTES, gateway.settings.call_limit).await {
        Ok(body) => body,
        Err(why) => return preliminary::unread(why),
    };
    if batch::is_one(&body) {
        return batch::serve(&parties, headers, &body).await;
    }
    one(&parties, headers, message::read(headers, &body), ahead).await
}

/// Answers one message.
async fn one<P: Platform>(
    parties: &Parties<'_, P>,
    headers: &HeaderMap,
    message: Result<Message<'_>, Box<Refused>>,
    ahead: Option<Ahead<'_, P>>,
) -> Response<Body<P::Stream>> {
    match message {
        Ok(Message::Call(mut call)) => {
            let traceparent = call.meta.text("traceparent").map(|text| message::shorten(&text));
            let mut context = parties.context(traceparent, ahead);
            let (era, id) = (call.era, call.id.clone());
            if let Err(often) = context.ask(class(call.method)) {
                return too_often(often, Some(era), Some(&id));
            }
            if era != Era::Modern && call.method != Method::Initialize {
                match session::read(&context, headers) {
                    Ok(session) => {
                        call.takes_urls = session.as_ref().is_some_and(Session::takes_urls);
                        context.session = session;
                    }
                    Err(error) => return error.answer(Some(era), Some(&id)),
                }
            }
            match dispatch(&context, *call).await {
                Ok(Answer::Response(response)) => response,
                Ok(Answer::Result(result)) => answer(
                    StatusCode::OK,
                    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{{result}}}}}"#, id.get()),
                ),
                Err(failure) => render(&context, era, Some(&id), failure),
            }
        }
        Ok(Message::Note) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        Err(refused) => {
            let Refused { error, era, id } = *refused;
            error.answer(era, id.as_deref())
        }
    }
}

async fn dispatch<P: Platform>(
    context: &Context<'_, P>,
    call: Call<'_>,
) -> Result<Answer<P::Stream>, Failure> {
    // The larger ones on the heap: a request is moved from hand to hand.
    match call.method {
        Method::Discover => discover::discover(context).await.map(Answer::Result),
        Method::Initialize => discover::initialize(context, &call).await.map(Answer::Response),
        Method::Ping | Method::SetLevel | Method::Subscribe | Method::Unsubscribe => {
            discover::acknowledge(context, &call).await.map(Answer::Result)
        }
        Method::ListTools => tools::list(context, &call).await.map(Answer::Result),
        Method::ListPrompts => items::list(context, &call, &items::PROMPTS).await.map(Answer::Result),
        Method::ListResources => items::list(context, &call, &items::RESOURCES).await.map(Answer::Result),
        Method::ListTemplates => items::list(context, &call, &items::TEMPLATES).await.map(Answer::Result),
        Method::CallTool => Box::pin(call::tool(context, call)).await.map(Answer::Response),
        Method::GetPrompt => {
            Box::pin(call::item(context, call, "name", Action::GetPrompt)).await.map(Answer::Response)
        }
        Method::ReadResource => {
            Box::pin(call::item(context, call, "uri", Action::ReadResource)).await.map(Answer::Response)
        }
        Method::Complete => Box::pin(complete::complete(context, call)).await.map(Answer::Response),
        Method::Listen => Box::pin(listen::listen(context, call)).await.map(Answer::Response),
    }
}

/// Renders what went wrong, once.
fn render<P: Platform>(
    context: &Context<'_, P>,
    era: Era,
    id: Option<&serde_json::value::RawValue>,
    failure: Failure,
) -> Response<Body<P::Stream>> {
    let era = Some(era);
    match failure {
        Failure::Rpc(error) => error.answer(era, id),
        Failure::Refusal(Refusal::Identity(error)) => {
            challenge::unproven(context.gateway, context.org, context.toolbox, &error)
        }
        Failure::Refusal(Refusal::OutOfScope { scopes, reference }) => {
            challenge::out_of_scope(context, (era, id), &scopes, reference)
        }
        Failure::Refusal(refusal @ Refusal::NoToolbox(_)) => RpcError::of(Fault::Denied, refusal.to_string())
            .with_status(StatusCode::NOT_FOUND)
            .answer(era, id),
        Failure::Refusal(refusal @ (Refusal::Unknown { .. } | Refusal::Needs { .. })) => {
            let error = RpcError::of(Fault::Denied, refusal.to_string());
            let told = match refusal {
                Refusal::Needs { needs, reference } => Some(Told::new(reference, needs)),
                Refusal::Unknown { reference, .. } => reference.map(|event| Told::new(event, Vec::new())),
                Refusal::Identity(_)
                | Refusal::NoToolbox(_)
                | Refusal::OutOfScope { .. }
                | Refusal::Platform(_) => None,
            };
            match told {
                Some(told) => error.with_data(serde_json::json!(told)),
                None => error,
            }
            .answer(era, id)
        }
        Failure::Refusal(refusal @ Refusal::Platform(_)) => {
            if let Refusal::Platform(log) = &refusal {
                Fault::Platform.log(log);
            }
            RpcError::of(Fault::Platform, refusal.to_string()).answer(era, id)
        }
        Failure::Upstream(error) => {
            error.fault().log(&error.log());
            RpcError::of(error.fault(), error.to_string()).answer(era, id)
        }
    }
}

/// Headers of a stream of events.
fn event_stream<S>(body: Body<S>) -> Response<Body<S>> {
    let mut response = Response::new(body);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
