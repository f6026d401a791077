//! `/approve/{id}`: a person reads exactly what will run, and approves or refuses it. Whoever has not proved that they may sees
//! nothing of the call, not even whether there is one. Without scripts, for keyboards and screen readers too.
//!
//! People prove it by being signed in. Where nobody is, the operator's key does too, for whoever runs this gateway: typed into a form,
//! checked, and forgotten; the next form carries a sealed note of the proof instead, good for this approval and a few minutes.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use maud::{Markup, html};
use schemas::decision::OrgFacts;
use schemas::ids::{ApprovalId, Timestamp};

use super::page::{Forms, message, page};
use super::visible;
use crate::Gateway;
use crate::approvals::{self, Arguments, Word};
use crate::body::Body;
use crate::error::Fault;
use crate::identity::operator::{self, Operator};
use crate::identity::person::Person;
use crate::identity::session::{Signed, signed};
use crate::platform::{Platform, PlatformError};
use crate::store::approvals::{Approval, State, find};
use crate::vault::Purpose;

/// How long somebody who proved that they may can take to decide, in milliseconds.
const PATIENCE: i64 = 10 * 60 * 1000;
/// No form of ours is longer, in bytes.
const LONGEST: usize = 8 * 1024;

/// What a form of ours holds.
#[derive(Debug, Default)]
struct Form {
    key: Option<String>,
    proof: Option<String>,
    token: Option<String>,
    word: Option<Word>,
}

impl Form {
    fn read(body: &Bytes) -> Self {
        let mut form = Self::default();
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "key" => form.key = Some(value.trim().to_owned()),
                "proof" => form.proof = Some(value.into_owned()),
                "token" => form.token = Some(value.into_owned()),
                "decision" if value == "approve" => form.word = Some(Word::Approve),
                "decision" if value == "refuse" => form.word = Some(Word::Refuse),
                _ => {}
            }
        }
        form
    }
}

/// The page.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    id: &str,
) -> Response<Body<P::Stream>> {
    let Ok(id) = ApprovalId::parse(id) else {
        return message(StatusCode::NOT_FOUND, "This link is not whole", "Ask the agent for it again.");
    };
    Box::pin(answer(gateway, platform, request, &id)).await.unwrap_or_else(|error| {
        Fault::Platform.log(&error.to_string());
        let why = "The database can't be reached, and nothing was decided. Try again.";
        message(Fault::Platform.status(), "Not now", why)
    })
}

async fn answer<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    id: &ApprovalId,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (headers, sent) = (request.headers(), request.method() == Method::POST);
    if sent && (!gateway.settings.is_own_form(headers) || request.body().len() > LONGEST) {
        return Ok(not_ours());
    }
    let form = Form::read(request.body());
    if let Some(signed) = signed(platform, headers).await? {
        // Whoever typed the operator's key is not signed in: the form was made for somebody else.
        if sent && !signed.takes_form(gateway, headers, form.token.as_deref().unwrap_or_default()) {
            return Ok(not_ours());
        }
        return read_by(gateway, platform, id, &form, &signed).await;
    }
    if !sent {
        return Ok(door(StatusCode::OK, id, None));
    }
    let Some((operator, proof)) = prove(gateway, platform, id, &form) else {
        let why = if form.key.is_some() { "That is not the operator's key." } else { "You took too long." };
        return Ok(door(StatusCode::FORBIDDEN, id, Some(why)));
    };
    decided(gateway, platform, id, &form, (&operator, &proof)).await
}

/// Shows the call to a person who may decide about it, and takes their word if there is one.
async fn read_by<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    id: &ApprovalId,
    form: &Form,
    signed: &Signed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let person = &signed.person;
    let approval = find(platform, id).await?.filter(|approval| approval.org == person.facts.org.id);
    let Some(approval) = approval else { return Ok(nothing_for(person)) };
    let may = match approvals::may_decide(gateway, platform, person, &approval).await? {
        Some(decided) => decided.is_ok(),
        // What the call is about is gone: its own person is told so.
        None => approval.user == person.facts.name,
    };
    if !may {
        return Ok(nothing_for(person));
    }
    let Some(word) = form.word else {
        let carried = ("token", signed.form_token(&gateway.vault));
        let mut response = show(gateway, platform.now(), &approval, &carried);
        if let Some(cookie) = signed.renew(platform).await? {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        return Ok(response);
    };
    take(gateway, platform, &approval, word, (&person.credential, person.facts.name.as_str())).await
}

fn nothing_for<S>(person: &Person) -> Response<Body<S>> {
    let why = format!(
        "Nothing for {} of {}, as whom you are signed in. It may have been answered long ago: let the agent make its call again.",
        visible(person.facts.name.as_str()),
        person.facts.org.name
    );
    message(StatusCode::NOT_FOUND, "Nothing waits under this link", &why)
}

fn not_ours<S>() -> Response<Body<S>> {
    let why = "Only the form on this page can be sent here. Open the link again.";
    message(StatusCode::FORBIDDEN, "This was not sent by our own page", why)
}

/// Whether whoever sent this form may decide. Answers the note for the next form.
fn prove<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    id: &ApprovalId,
    form: &Form,
) -> Option<(Operator, String)> {
    let (place, now) = (format!("proof\n{id}"), platform.now());
    match (&form.key, &form.proof) {
        (Some(key), _) => {
            let operator = operator::prove_key(platform, key).ok()?;
            let until = now.plus(PATIENCE).0.to_string();
            let note = gateway.vault.seal(platform, Purpose::Approval, place.as_bytes(), until.as_bytes())?;
            Some((operator, note))
        }
        (None, Some(proof)) => {
            let until = gateway.vault.open(Purpose::Approval, place.as_bytes(), proof).ok()?;
            let until: i64 = std::str::from_utf8(&until).ok()?.parse().ok()?;
            (now.0 < until).then(|| (Operator::remembered(), proof.clone()))
        }
        (None, None) => None,
    }
}

/// Shows the call to somebody who may see it, and takes their word if there is one.
async fn decided<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    id: &ApprovalId,
    form: &Form,
    (operator, proof): (&Operator, &str),
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let Some(approval) = find(platform, id).await? else {
        let why = "It may have been answered long ago. Let the agent make its call again.";
        return Ok(message(StatusCode::NOT_FOUND, "Nothing waits under this link", why));
    };
    let Some(word) = form.word else {
        return Ok(show(gateway, platform.now(), &approval, &("proof", proof.to_owned())));
    };
    let org = OrgFacts { id: approval.org.clone(), name: approval.org_name.clone() };
    // What is not there any more is told below. The operator passes on what the person said: if the policies let them.
    let may = match Person::operator(operator, &org) {
        Ok(person) => {
            approvals::may_decide(gateway, platform, &person, &approval).await?.is_none_or(|may| may.is_ok())
        }
        Err(_) => false,
    };
    if !may {
        let why = "The policies of this organisation don't let the operator speak for people.";
        return Ok(message(StatusCode::FORBIDDEN, "Not for the operator", why));
    }
    take(gateway, platform, &approval, word, ("operator", "the operator")).await
}

/// Takes somebody's word.
async fn take<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    approval: &Approval,
    word: Word,
    proven: (&str, &str),
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if !approvals::decide(&gateway.vault, platform, approval, word, proven).await? {
        let why = "It was decided meanwhile, or it waited for too long, or the tool has changed. Let the agent make its call again.";
        return Ok(message(StatusCode::CONFLICT, "This call does not wait any more", why));
    }
    Ok(match word {
        Word::Approve => message(
            StatusCode::OK,
            "Approved",
            "The agent may make exactly this call, once, in the next five minutes. You can close this page.",
        ),
        Word::Refuse => message(StatusCode::OK, "Refused", "The call is not made. You can close this page."),
    })
}

/// Where somebody proves that they may look.
fn door<S>(status: StatusCode, id: &ApprovalId, why: Option<&str>) -> Response<Body<S>> {
    let body = html! {
        h1 { "Approve a call" }
        p { "An agent wants to do something that a person has to approve first. Sign in to see what it is." }
        p { a.button.yes href={ "/sign-in?return_to=/approve/" (id) } { "Sign in" } }
        details open[why.is_some()] {
            summary { "I run this gateway" }
            p { "With the operator's key you can pass on what the person told you." }
            @if let Some(why) = why { p.alert #why role="alert" { (why) } }
            form method="post" {
                label for="key" { "Operator's key" }
                input #key type="password" name="key" autocomplete="off" spellcheck="false" required
                    aria-describedby=[why.map(|_| "why")];
                button { "Show the call" }
            }
        }
    };
    page(status, "Approve a call – Ambit", Forms::Own, &body)
}

/// The call, whole, and the two buttons if it still waits.
fn show<S>(
    gateway: &Gateway,
    now: Timestamp,
    approval: &Approval,
    carried: &(&'static str, String),
) -> Response<Body<S>> {
    let arguments = Arguments::open(&gateway.vault, approval);
    let waits = approval.state == State::Pending && approval.expires_at > now && arguments.is_some();
    let left = approval.expires_at.0.saturating_sub(now.0).max(0) / 1000;
    let body = html! {
        h1 { "Approve this call?" }
        dl {
            dt { "Tool" } dd { code { (visible(&approval.tool)) } }
            dt { "Server" } dd { (approval.server) }
            dt { "Toolbox" } dd { (approval.toolbox) ", " (approval.org_name) }
            dt { "Agent" } dd { (approval.agent) }
            dt { "On behalf of" } dd { (visible(approval.user.as_str())) }
            @if waits { dt { "Time left" } dd { (left / 60) " min " (left % 60) " s" } }
        }
        h2 #arguments { "Arguments" }
        @match &arguments {
            Some(arguments) => pre.whole tabindex="0" aria-labelledby="arguments" { code { (visible(&arguments.text)) } },
            None => p { "They are not kept any more." },
        }
        h2 #definition { "What the tool says it does" }
        @match &approval.definition {
            Some(definition) => pre.whole tabindex="0" aria-labelledby="definition" { code { (visible(definition)) } },
            None => p.alert role="alert" { "The tool has changed since the agent asked, so this call can't be approved any more." },
        }
        (ending(approval, waits, carried))
    };
    page(StatusCode::OK, "Approve this call? – Ambit", Forms::Own, &body)
}

/// The buttons, with what proves once more who presses them.
fn ending(approval: &Approval, waits: bool, (name, proof): &(&'static str, String)) -> Markup {
    html! {
        @if waits {
            form method="post" {
                input type="hidden" name=(name) value=(proof);
                @if approval.definition.is_some() {
                    button.yes name="decision" value="approve" { "Approve, once" }
                }
                button name="decision" value="refuse" { "Refuse" }
            }
        } @else {
            p.alert role="status" {
                @match approval.state {
                    State::Pending => "It waited for too long. Let the agent make its call again.",
                    State::Approved => "It is approved.",
                    State::Refused => "It was refused.",
                    State::Used => "It was approved, and the call was made.",
                }
            }
        }
    }
}
