//! The end, at an address that tells nothing: the person may close the page.

use http::{Response, StatusCode};
use maud::html;

use super::At;
use crate::body::Body;
use crate::broker::Standing;
use crate::broker::provider::profile::Profile;
use crate::broker::provider::title;
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, page, see_other};
use crate::routes::visible;
use crate::store::accounts::{self, Listed};

/// The page.
pub(super) async fn show<P: Platform>(at: &At<'_, P>) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (ticket, row) = (&at.ticket, at.row().await?);
    let Some(row) = row.filter(|_| ticket.used) else {
        return Ok(see_other(&format!("/connect/{}", ticket.id)));
    };
    let results = at.platform.sql(Batch::read([accounts::of_user(&ticket.org.id, &ticket.user)])).await?;
    let all: Vec<Listed> = results.iter().flatten().map(accounts::listed).collect::<Result<_, _>>()?;
    let is_it = |one: &&Listed| {
        let meant =
            ticket.aim.again.as_ref().is_none_or(|id| one.id == *id || one.sharing == ticket.aim.sharing);
        one.owner_id == ticket.user && one.provider == row.name && one.status == Standing::Active && meant
    };
    let Some(account) = all.iter().rfind(is_it) else { return Ok(super::not_yours()) };
    let profile = Profile::find(&row.kind);
    let name = profile.map_or_else(|| row.name.to_string(), |profile| title(profile, &row.name));
    let lacks: Vec<&String> = ticket.scopes.difference(&account.scopes).collect();
    let words =
        |scope: &str| profile.map_or_else(|| scope.to_owned(), |profile| profile.words_for(scope).to_owned());
    let body = html! {
        h1 { (name) " is connected" }
        @if !account.label.is_empty() { p { "As " strong { (visible(&account.label)) } "." } }
        @if lacks.is_empty() {
            @match &ticket.agent {
                Some(agent) => p { "You may close this page, and go back to " (agent) ": it can make its call now." },
                None => p { "You may close this page." },
            }
        } @else {
            p.alert role="alert" { "It was given less than what is needed. The call will ask you again; what lacks is leave to:" }
            ul { @for scope in lacks { li { (visible(&words(scope))) } } }
            p { a.button href={ "/connect/" (ticket.id) } { "Connect again" } }
        }
        p { a href="/account/connections" { "Your accounts" } }
    };
    Ok(page(StatusCode::OK, &format!("{name} is connected – Ambit"), Forms::Own, &body))
}
