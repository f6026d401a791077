//! The page on which a person lets a client in: who asks, where the answer goes, as which agent, how far.

use http::{Response, StatusCode};
use maud::{Markup, html};
use schemas::decision::UserFacts;

use super::authorize::Asked;
use super::scopes;
use crate::body::Body;
use crate::clients::{Client, Kind, is_local, target};
use crate::routes::page::{Forms, page};
use crate::routes::visible;
use crate::store::authorizations::Candidate;

/// What a person is asked.
pub(super) struct Question<'a> {
    pub(super) client: &'a Client,
    pub(super) asked: &'a Asked,
    pub(super) person: &'a UserFacts,
    /// None for the management API.
    pub(super) agents: &'a [Candidate],
    /// One if the client named it.
    pub(super) toolboxes: &'a [String],
    /// The request, sealed.
    pub(super) carried: &'a str,
}

/// The page.
pub(super) fn show<S>(question: &Question<'_>) -> Response<Body<S>> {
    let Question { client, asked, person, agents, toolboxes, carried } = question;
    let title = visible(client.title());
    let body = html! {
        h1 { "Let " (title) " in?" }
        (who(client, asked))
        form method="post" action="/authorize" {
            input type="hidden" name="request" value=(carried);
            @if agents.is_empty() {
                p { "It will manage " strong { (person.org.name) } " as you, " strong { (visible(person.name.as_str())) } ", as far as your roles go, until you sign it out." }
            } @else {
                (choice("toolbox", "Toolbox", toolboxes.iter().map(|name| (name.as_str(), None))))
                (choice("agent", "It acts for you as agent", agents.iter().map(|agent| {
                    (agent.facts.name.as_str(), agent.facts.owner.as_ref().map(|owner| format!("of {owner}")))
                })))
                (how_far(asked))
                p { "For " strong { (visible(person.name.as_str())) } " in " strong { (person.org.name) } ". What the agent may do stands in the policies of the organisation; every call is on record." }
            }
            button.yes name="decision" value="allow" { "Let it in" }
            button name="decision" value="deny" { "No" }
        }
    };
    respond(StatusCode::OK, "Let it in?", asked, &body)
}

/// The page for when there is no agent that would let this client in, or no toolbox.
pub(super) fn nobody<S>(
    client: &Client,
    asked: &Asked,
    person: &UserFacts,
    no_toolbox: bool,
    carried: &str,
) -> Response<Body<S>> {
    let title = visible(client.title());
    let command = format!("ambit agent allow AGENT --client '{}' --org {}", client.id, person.org.name);
    let body = html! {
        @if no_toolbox {
            h1 { (person.org.name) " has no toolbox yet" }
            p { "There is nothing that " (title) " could use. Whoever operates " (person.org.name) " makes one first." }
        } @else {
            h1 { "No agent lets " (title) " in" }
            (who(client, asked))
            p { "Programs act as agents, and no agent of " strong { (person.org.name) } " that may act for you, " strong { (visible(person.name.as_str())) } ", lets this one in. An owner of the organisation can change that:" }
            pre.whole tabindex="0" { code { (visible(&command)) } }
        }
        form method="post" action="/authorize" {
            input type="hidden" name="request" value=(carried);
            button name="decision" value="deny" { "Go back to " (title) }
        }
    };
    respond(StatusCode::FORBIDDEN, "Not let in", asked, &body)
}

/// Who asks. Its name is its own word; where its answer goes is not.
fn who(client: &Client, asked: &Asked) -> Markup {
    let says = match client.kind {
        Kind::Registered if client.org.is_none() => "part of this gateway",
        Kind::Registered => "registered by your organisation",
        Kind::Dynamic => "it registered itself, so its name is only its own word",
        Kind::Document => "described at its own address",
    };
    html! {
        dl {
            dt { "Program" } dd { (visible(client.title())) " (" (says) ")" }
            @if client.kind == Kind::Document { dt { "Its address" } dd { code { (visible(&client.id)) } } }
            dt { "Answer goes to" } dd { code { (visible(&target(&asked.redirect_uri))) } }
        }
        @if is_local(&asked.redirect_uri) {
            p.alert { "The answer goes to a program on this computer. Go on only if you have just started it yourself." }
        }
    }
}

/// One of several, or the only one.
fn choice<'a>(name: &str, label: &str, options: impl Iterator<Item = (&'a str, Option<String>)>) -> Markup {
    let options: Vec<_> = options.collect();
    html! {
        @if let [(only, note)] = options.as_slice() {
            input type="hidden" name=(name) value=(only);
            p { (label) ": " strong { (only) } @if let Some(note) = note { " " (visible(note)) } }
        } @else {
            fieldset {
                legend { (label) }
                @for (index, (option, note)) in options.iter().enumerate() {
                    label.choice { input type="radio" name=(name) value=(option) checked[index == 0] required; " " (option) @if let Some(note) = note { " " (visible(note)) } }
                }
            }
        }
    }
}

fn how_far(asked: &Asked) -> Markup {
    html! {
        fieldset {
            legend { "It may" }
            @for scope in &asked.scopes {
                label.choice {
                    input type="checkbox" name={ "scope:" (scope) } value="yes" checked disabled[scope == scopes::READ];
                    " " (scopes::words(scope))
                }
            }
        }
    }
}

fn respond<S>(status: StatusCode, title: &str, asked: &Asked, body: &Markup) -> Response<Body<S>> {
    // Browsers hold the redirect that answers a form to the same rule as the form.
    page(status, &format!("{title} – Ambit"), Forms::OwnThen(target(&asked.redirect_uri)), body)
}
