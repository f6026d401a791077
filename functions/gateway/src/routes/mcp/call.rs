//! `tools/call`, `prompts/get` and `resources/read`: the walk, whole.

use std::borrow::Cow;

use http::{Response, StatusCode};
use policies::Permit;
use schemas::audit::Ended;
use schemas::decision::{Action, Trust};
use schemas::ids::ApprovalId;

use super::answer::{Relay, relay};
use super::asking::{self, Client, Link, respond};
use super::connecting::{Seeking, Step};
use super::error::{INTERNAL, INVALID_PARAMS, RpcError};
use super::message::{Call, check_mirrored, shorten};
use super::{Context, Failure, ahead, outbound, state};
use crate::audit::About;
use crate::body::Body;
use crate::broker::BrokerError;
use crate::json::{Object, raw};
use crate::platform::Platform;
use crate::protocol::Era;
use crate::toolboxes::Discovered;
use crate::toolboxes::{Place, Server, names};
use crate::upstream::{self, Message, UpstreamError};
use crate::walk::{Brought, Prospect, Recorded, Reply, Round, Settled, ToolCall, Visit};

/// Calls a tool.
pub(super) async fn tool<P: Platform>(
    context: &Context<'_, P>,
    call: Call<'_>,
) -> Result<Response<Body<P::Stream>>, Failure> {
    let public = parameter(&call, "name")?;
    let (visit, mut server, tool) = ahead::tool(context, &public).await?;
    let arguments = call.params.get("arguments");
    let decision = visit.decide_tool(&server, &tool, arguments, None)?;
    let about = visit.about(call.method.as_str(), Some(&server), Some(&public), arguments);
    let prospect = visit.prospect(decision, &server, &tool, arguments)?;
    let mut params = call.params.clone();
    let reply = asking::take_reply(&mut params, asking::APPROVAL).unwrap_or(Reply::Open);
    let connect_reply = asking::take_reply(&mut params, asking::CONNECT);
    params.put("name", &tool.name);
    let state::Opened { binding, brought } = match &prospect {
        // A caller who may not call the tool must not learn of its schema either.
        Prospect::Denied(_) => state::Opened::default(),
        Prospect::Permitted(_) | Prospect::Approvable(_) => {
            check_mirrored(&call, &tool.mirrored)?;
            state::open(&visit, &call, &server, &mut params, &about).await?
        }
    };
    if let Prospect::Denied(denial) = prospect {
        return Err(visit.deny(&about, &denial).await?.into());
    }
    // Before anybody is asked to approve: a word that is given is used up by one try.
    let seeking = Seeking {
        visit: &visit,
        call: &call,
        params: &params,
        about: &about,
        tool: Some(&tool),
        binding: &binding,
    };
    let using = match seeking.seek(&mut server, connect_reply).await? {
        Step::Go(using) => using,
        Step::Answer(answer) => return Ok(answer),
    };
    let (permit, round) = match prospect {
        Prospect::Permitted(permit) => (permit, None),
        Prospect::Denied(denial) => return Err(visit.deny(&about, &denial).await?.into()),
        Prospect::Approvable(denial) => {
            let wanted = ToolCall { server: &server, tool: &tool, arguments, about: &about };
            // On the heap, as it is seldom needed.
            match Box::pin(visit.settle(wanted, denial, &brought, reply)).await? {
                Settled::Approved { permit, round, arguments } => {
                    // What the person read is what runs.
                    params.set("arguments", raw(arguments));
                    (permit, Some(round))
                }
                Settled::Ask(id) => return ask(&visit, &call, &params, &binding, id),
                Settled::Stopped(why) => return Ok(respond(Client::of(&call).tell(&why))),
                Settled::Spent => return Err(state::refuse().into()),
            }
        }
    };
    let recorded = match visit.record_with(&about, &permit, &server, using).await {
        Ok(recorded) => recorded,
        Err(unrecorded) => {
            let seeking = Seeking {
                visit: &visit,
                call: &call,
                params: &params,
                about: &about,
                tool: Some(&tool),
                binding: &binding,
            };
            return Box::pin(seeking.unrecorded(&server, unrecorded)).await;
        }
    };
    Forward { visit: &visit, server: &server, about: &about, recorded, permit, binding, round }
        .send(call, params, Some(tool.name.clone()))
        .await
}

/// Sends the person behind a call to the page where it can be approved. What a server gave to be carried stays in the state.
fn ask<P: Platform>(
    visit: &Visit<'_, P>,
    call: &Call<'_>,
    params: &Object<'_>,
    binding: &[u8],
    id: ApprovalId,
) -> Result<Response<Body<P::Stream>>, Failure> {
    let gateway = visit.gateway;
    let client = Client::of(call);
    let url = format!("{}/approve/{id}", gateway.settings.public_url);
    let key = if call.era == Era::Modern { asking::APPROVAL.to_owned() } else { id.to_string() };
    let name = call.params.text("name").unwrap_or_default();
    let message = format!("`{}` needs your approval of exactly this call", shorten(&name));
    let inner = params.text("requestState").map(Cow::into_owned);
    let state = state::seal(visit.platform, &gateway.vault, binding, inner, Brought::Question(id));
    let state = state.ok_or_else(|| RpcError::new(INTERNAL, "the state of the call can't be sealed"))?;
    Ok(respond(client.ask(&[Link { key, url, message }], Some(&state))))
}

/// Gets a prompt or reads a resource, named by the parameter `key`.
pub(super) async fn item<P: Platform>(
    context: &Context<'_, P>,
    call: Call<'_>,
    key: &'static str,
    action: Action,
) -> Result<Response<Body<P::Stream>>, Failure> {
    let asked = parameter(&call, key)?;
    let (visit, mut server, name) = ahead::item(context, call.method, action, &asked).await?;
    let arguments = call.params.get("arguments");
    let decision = visit.decide_item(action, &server, &name, arguments)?;
    let about = visit.about(call.method.as_str(), Some(&server), Some(&asked), arguments);
    let mut params = call.params.clone();
    let reply = asking::take_reply(&mut params, asking::CONNECT);
    params.put(key, &name);
    let permit = match decision {
        Ok(permit) => permit,
        Err(denial) => return Err(visit.deny(&about, &denial).await?.into()),
    };
    let binding = state::open(&visit, &call, &server, &mut params, &about).await?.binding;
    let seeking =
        Seeking { visit: &visit, call: &call, params: &params, about: &about, tool: None, binding: &binding };
    let using = match seeking.seek(&mut server, reply).await? {
        Step::Go(using) => using,
        Step::Answer(answer) => return Ok(answer),
    };
    let recorded = match visit.record_with(&about, &permit, &server, using).await {
        Ok(recorded) => recorded,
        Err(unrecorded) => return Box::pin(seeking.unrecorded(&server, unrecorded)).await,
    };
    Forward { visit: &visit, server: &server, about: &about, recorded, permit, binding, round: None }
        .send(call, params, Some(name))
        .await
}

/// Whose prompt or resource that is, and what its server calls it. Resources keep their URIs, so the snapshots of the servers tell
/// whose one is; with one server that has any, it is that one's.
pub(super) fn owner<'s>(
    servers: &'s [(Server, String)],
    action: Action,
    asked: &str,
) -> Option<(&'s Server, String)> {
    if matches!(action, Action::GetPrompt | Action::ListPrompt) {
        let (prefix, rest) = names::split(asked);
        let plain = servers.iter().find(|(server, said)| {
            server.prefix.is_empty()
                && Discovered::parse(said).prompts.iter().any(|name| names::alias(name) == asked)
        });
        let (server, alias, said) = match plain {
            Some((server, said)) => (server, asked, said),
            None => servers
                .iter()
                .find(|(server, _)| server.prefix == prefix)
                .map(|(server, said)| (server, if prefix.is_empty() { asked } else { rest }, said))?,
        };
        let name = Discovered::parse(said).prompts.into_iter().find(|name| names::alias(name) == alias);
        return Some((server, name.unwrap_or_else(|| alias.to_owned())));
    }
    let having: Vec<_> = servers
        .iter()
        .map(|(server, said)| (server, Discovered::parse(said)))
        .filter(|(_, said)| said.has("resources"))
        .collect();
    if let [(only, _)] = having.as_slice() {
        return Some((only, asked.to_owned()));
    }
    let exact = having.iter().find(|(_, said)| said.resources.iter().any(|uri| uri == asked));
    let matching =
        || having.iter().find(|(_, said)| said.templates.iter().any(|template| fits(template, asked)));
    exact.or_else(matching).map(|(server, _)| (*server, asked.to_owned()))
}

/// Whether a URI may come from a template (RFC 6570): its literal parts occur in order, from the first byte to the last.
fn fits(template: &str, uri: &str) -> bool {
    let mut rest = uri;
    let mut literals =
        template.split('{').map(|part| part.split_once('}').map_or(part, |(_, literal)| literal));
    let Some(after) = literals.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after;
    let literals: Vec<_> = literals.collect();
    for (index, literal) in literals.iter().enumerate() {
        let last = index + 1 == literals.len();
        match if last && !literal.is_empty() { rest.rfind(literal) } else { rest.find(literal) } {
            Some(at) => rest = rest.get(at + literal.len()..).unwrap_or_default(),
            None => return false,
        }
        if last && !literal.is_empty() && !rest.is_empty() {
            return false;
        }
    }
    !literals.is_empty() || rest.is_empty()
}

/// A required parameter.
pub(super) fn parameter(call: &Call<'_>, key: &str) -> Result<String, RpcError> {
    call.params.text(key).map(Cow::into_owned).ok_or_else(|| {
        RpcError::new(
            INVALID_PARAMS,
            format!("`{}` needs the parameter `{key}`, a string", call.method.as_str()),
        )
    })
}

/// A call that was allowed and recorded.
struct Forward<'v, 'g, P: Platform> {
    visit: &'v Visit<'g, P>,
    server: &'v Server,
    about: &'v About,
    recorded: Recorded<P>,
    permit: Permit,
    binding: Vec<u8>,
    round: Option<Round>,
}

impl<P: Platform> Forward<'_, '_, P> {
    /// Steps 7 to 9. The permit is used up here: it was for this one call.
    async fn send(
        self,
        call: Call<'_>,
        params: Object<'_>,
        name: Option<String>,
    ) -> Result<Response<Body<P::Stream>>, Failure> {
        let Self { visit, server, about, mut recorded, permit: _used, binding, round } = self;
        let message = outbound::message(&call, params, name);
        let sent = deliver(visit, server, about, &mut recorded, &message).await;
        let Some(conclusion) = recorded.intent.conclusion() else {
            return Err(Failure::Rpc(RpcError::new(INTERNAL, "the call was already over")));
        };
        match sent {
            Ok(response) => relay(Relay::new(visit, server, &call, binding, round, conclusion), response)
                .await
                .map_err(Failure::Upstream),
            Err(undelivered) => {
                conclusion.end(Ended::Failed);
                match undelivered {
                    Undelivered::Upstream(error) => Err(error.into()),
                    Undelivered::Account(error) => {
                        error.fault().log(&error.to_string());
                        Ok(respond(Client::of(&call).tell(&error.told())))
                    }
                }
            }
        }
    }
}

/// Why a server gave no answer.
enum Undelivered {
    Upstream(UpstreamError),
    Account(BrokerError),
}

/// Sends a message. A server at an address that does not take the account's credential is asked once more, with a renewed one; if it does
/// not take that either, the account is over until its owner connects it again. The word of a server whose publisher is not trusted is not
/// enough for that: it would end accounts that other servers act on.
async fn deliver<P: Platform>(
    visit: &Visit<'_, P>,
    server: &Server,
    about: &About,
    recorded: &mut Recorded<P>,
    message: &Message,
) -> Result<Response<P::Stream>, Undelivered> {
    let Visit { gateway, platform, toolbox, .. } = visit;
    let (intent, delivery) = (&recorded.intent, recorded.delivery.as_ref());
    let send = upstream::send(gateway, *platform, intent, toolbox, server, message, delivery);
    let response = send.await.map_err(Undelivered::Upstream)?;
    if recorded.using.is_none() || !is_refused(server, &response) {
        return Ok(response);
    }
    drop(response);
    // On the heap, as it is seldom needed.
    Box::pin(deliver_again(visit, server, about, recorded, message)).await
}

/// With a renewed credential.
async fn deliver_again<P: Platform>(
    visit: &Visit<'_, P>,
    server: &Server,
    about: &About,
    recorded: &mut Recorded<P>,
    message: &Message,
) -> Result<Response<P::Stream>, Undelivered> {
    if !matches!(server.trust, Trust::FirstParty | Trust::Verified) {
        return Err(Undelivered::Account(BrokerError::NotTaken(server.name.to_string())));
    }
    let Visit { gateway, platform, toolbox, .. } = visit;
    let delivery = visit.replace(about, recorded, server).await.map_err(Undelivered::Account)?;
    let intent = &recorded.intent;
    let send = upstream::send(gateway, *platform, intent, toolbox, server, message, Some(&delivery));
    let response = send.await.map_err(Undelivered::Upstream)?;
    if let (true, Some(using)) = (is_refused(server, &response), &recorded.using) {
        let reason = format!("`{}` does not take it", server.name);
        let ended = visit.give_up(about, using, &reason).await;
        ended.map_err(|error| Undelivered::Account(error.into()))?;
        return Err(Undelivered::Account(BrokerError::Ended(reason)));
    }
    Ok(response)
}

/// Whether a server at an address refused the credential. What one in a container thinks of it, its answer says.
fn is_refused<S>(server: &Server, response: &Response<S>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED && matches!(server.place, Place::Remote(_))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn templates() {
        assert!(fits("test://template/{id}/data", "test://template/7/data"));
        assert!(fits("file:///{path}", "file:///a/b"));
        assert!(!fits("test://template/{id}/data", "test://template/7/data/more"));
        assert!(!fits("test://template/{id}/data", "other://template/7/data"));
        assert!(fits("test://static", "test://static"));
        assert!(!fits("test://static", "test://static2"));
    }
}
