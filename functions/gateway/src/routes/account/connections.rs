//! `/account/connections`: my accounts at providers, who may act on them, and what they did; connecting, sharing and ending them.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use maud::html;
use schemas::decision::{Action, ConnectionFacts, Status};
use schemas::ids::{ConnectionId, Timestamp};
use schemas::names::{ProviderName, TeamName};

use super::connections_page::{self, Shown};
use super::{about, field};
use crate::Gateway;
use crate::body::Body;
use crate::broker::connect::{ConnectError, Who, decide};
use crate::broker::ticket::{self, Aim, Wanted};
use crate::broker::{Sharing, Standing, connections};
use crate::identity::session::Signed;
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, message, page, see_other};
use crate::routes::visible;
use crate::store::accounts::{self, Listed};
use crate::store::{people, providers};

/// How far back uses are shown, in milliseconds.
const SHOWN: i64 = 30 * 24 * 60 * 60 * 1000;
/// The page.
const PAGE: &str = "/account/connections";

/// The page.
pub(super) async fn show<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (org, user, now) = (&signed.person.facts.org, &signed.user_id, platform.now());
    let asked = Batch::read([
        accounts::of_user(&org.id, user),
        providers::of_org(&org.id),
        accounts::agents(&org.id),
        accounts::uses(&org.id, user, Timestamp(now.0.saturating_sub(SHOWN))),
    ]);
    let results = platform.sql(asked).await?;
    let rows = |index: usize| results.get(index).into_iter().flatten();
    let shown = Shown {
        person: &signed.person.facts,
        mine: |account: &Listed| account.owner_id == signed.user_id,
        accounts: rows(0).map(accounts::listed).collect::<Result<_, _>>()?,
        providers: rows(1).map(providers::listed).collect::<Result<_, _>>()?,
        agents: rows(2).map(accounts::agent).collect::<Result<_, _>>()?,
        uses: rows(3).map(accounts::used).collect::<Result<_, _>>()?,
        token: signed.form_token(&gateway.vault),
        now,
    };
    Ok(connections_page::show(&shown))
}

/// One of its forms.
pub(super) async fn take<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
    what: &str,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if what == "connect" {
        return connect(gateway, platform, signed, request).await;
    }
    let id = ConnectionId::parse(&field(request, "connection").unwrap_or_default());
    let found = match &id {
        Ok(id) => accounts::find(platform, &signed.person.facts.org.id, id).await?,
        Err(_) => None,
    };
    let own = |found: &Listed| found.owner_id == signed.user_id && !found.is_over();
    let Some(found) = found.filter(own) else {
        let why = "It is not yours, or it was disconnected already. Open the page again.";
        return Ok(message(StatusCode::NOT_FOUND, "There is no such account", why));
    };
    match what {
        "reconnect" => reconnect(gateway, platform, signed, &found).await,
        "share" => share(gateway, platform, signed, &found, request).await,
        "disconnect" if field(request, "sure").as_deref() == Some("yes") => {
            disconnect(gateway, platform, signed, &found).await
        }
        "disconnect" => Ok(ask_disconnect(gateway, signed, &found)),
        _ => Ok(message(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "Your accounts are at /account/connections.",
        )),
    }
}

/// Off to connect an account, as the person's own wish.
async fn connect<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let org = &signed.person.facts.org;
    let provider = match ProviderName::parse(&field(request, "provider").unwrap_or_default()) {
        Ok(name) => providers::find(platform, &org.name, &name).await?,
        Err(_) => None,
    };
    let with = with(platform, signed, &field(request, "with").unwrap_or_default()).await?;
    let (Some(provider), Some((sharing, team))) = (provider, with) else {
        return Ok(message(StatusCode::NOT_FOUND, "There is no such provider", "Open the page again."));
    };
    let aim = Aim { again: None, sharing, team: team.map(|(id, _)| id) };
    wish(gateway, platform, signed, &provider.id, aim).await
}

async fn reconnect<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    found: &Listed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let org = &signed.person.facts.org;
    let Some(provider) = providers::find(platform, &org.name, &found.provider).await? else {
        return Ok(message(
            StatusCode::NOT_FOUND,
            "There is no such provider any more",
            "Open the page again.",
        ));
    };
    let aim = Aim { again: Some(found.id.clone()), sharing: found.sharing, team: found.team_id.clone() };
    wish(gateway, platform, signed, &provider.id, aim).await
}

async fn wish<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    provider: &schemas::ids::ProviderId,
    aim: Aim,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let scopes = std::collections::BTreeSet::new();
    let wanted = Wanted {
        org: &signed.person.facts.org.id,
        user: &signed.user_id,
        provider,
        asking: None,
        scopes: &scopes,
        aim,
    };
    let (url, statement) = ticket::ask(gateway, platform, &wanted);
    platform.sql(Batch::write([statement])).await?;
    Ok(see_other(url.strip_prefix(&gateway.settings.public_url).unwrap_or(&url)))
}

/// Who else may use an account, as forms say it: nobody, everybody (`org`), or a team of the person (`team:<name>`).
async fn with<P: Platform>(
    platform: &P,
    signed: &Signed,
    said: &str,
) -> Result<Option<(Sharing, Option<(schemas::ids::TeamId, TeamName)>)>, PlatformError> {
    let facts = &signed.person.facts;
    Ok(match said.strip_prefix("team:") {
        Some(team) => match facts.teams.iter().find(|one| one.as_str() == team) {
            Some(team) => {
                let id = people::team(platform, &facts.org.id, team).await?;
                id.map(|id| (Sharing::Team, Some((id, team.clone()))))
            }
            None => None,
        },
        None if said == "org" => Some((Sharing::Org, None)),
        None if said == "personal" || said.is_empty() => Some((Sharing::Personal, None)),
        None => None,
    })
}

fn facts(signed: &Signed, found: &Listed) -> ConnectionFacts {
    ConnectionFacts {
        id: found.id.clone(),
        org: signed.person.facts.org.clone(),
        owner: signed.person.facts.clone(),
        provider: found.provider.clone(),
        status: if found.status == Standing::Active { Status::Active } else { Status::Suspended },
        scopes: found.scopes.clone(),
        shared: found.sharing == Sharing::Org,
        team: found.team.clone(),
    }
}

/// The page for what the policies, or the state of things, do not allow.
fn refused<S>(error: &ConnectError) -> Response<Body<S>> {
    message(StatusCode::FORBIDDEN, "That is not possible", &format!("{error}."))
}

async fn share<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    found: &Listed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let with = with(platform, signed, &field(request, "with").unwrap_or_default()).await?;
    let Some((sharing, team)) = with else {
        return Ok(message(StatusCode::NOT_FOUND, "There is no such team of yours", "Open the page again."));
    };
    let facts = ConnectionFacts {
        shared: sharing == Sharing::Org,
        team: team.as_ref().map(|(_, name)| name.clone()),
        ..facts(signed, found)
    };
    let permit = match decide(gateway, platform, &Who::from(signed), Action::Share, &facts).await {
        Ok(permit) => permit,
        Err(ConnectError::Platform(error)) => return Err(error),
        Err(error) => return Ok(refused(&error)),
    };
    let to = (sharing, team.as_ref().map(|(id, _)| id));
    match connections::share(platform, &found.id, to, &about(signed, "connection.share"), &permit).await {
        Err(error) if error.to_string().contains("UNIQUE") => {
            let why = "You have another account of your own there already. Disconnect that one first.";
            Ok(message(StatusCode::CONFLICT, "That is not possible", why))
        }
        done => done.map(|_| see_other(PAGE)),
    }
}

fn ask_disconnect<S>(gateway: &Gateway, signed: &Signed, found: &Listed) -> Response<Body<S>> {
    let name = connections_page::title_of(found);
    let body = html! {
        h1 { "Disconnect " (name) "?" }
        p { "Nobody acts on " strong { (visible(if found.label.is_empty() { "this account" } else { &found.label })) } " from then on. What we hold of it is erased, and the provider is asked to take back what it gave." }
        form method="post" action="/account/connections/disconnect" {
            input type="hidden" name="token" value=(signed.form_token(&gateway.vault));
            input type="hidden" name="connection" value=(found.id);
            button.yes name="sure" value="yes" { "Disconnect" }
            a.button href=(PAGE) { "Keep it" }
        }
    };
    page(StatusCode::OK, &format!("Disconnect {name}? – Ambit"), Forms::Own, &body)
}

async fn disconnect<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    found: &Listed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let facts = facts(signed, found);
    let permit = match decide(gateway, platform, &Who::from(signed), Action::Revoke, &facts).await {
        Ok(permit) => permit,
        Err(ConnectError::Platform(error)) => return Err(error),
        Err(error) => return Ok(refused(&error)),
    };
    let org = &signed.person.facts.org.id;
    let about = about(signed, "connection.disconnect");
    connections::disconnect(gateway, platform, org, &found.id, &about, Some(&permit)).await?;
    Ok(see_other(PAGE))
}
