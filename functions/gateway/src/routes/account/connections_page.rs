//! What `/account/connections` shows.

use http::{Response, StatusCode};
use maud::{Markup, html};
use schemas::decision::UserFacts;
use schemas::ids::Timestamp;
use schemas::names::TeamName;

use super::ago;
use crate::body::Body;
use crate::broker::provider::profile::{Profile, Way};
use crate::broker::provider::title;
use crate::broker::{Sharing, Standing};
use crate::routes::page::{Forms, page};
use crate::routes::visible;
use crate::store::accounts::{Listed, Use, User};
use crate::store::providers::Provider;

/// Everything that is shown.
pub(super) struct Shown<'a, F: Fn(&Listed) -> bool> {
    pub(super) person: &'a UserFacts,
    pub(super) mine: F,
    pub(super) accounts: Vec<Listed>,
    pub(super) providers: Vec<Provider>,
    pub(super) agents: Vec<User>,
    pub(super) uses: Vec<Use>,
    pub(super) token: String,
    pub(super) now: Timestamp,
}

/// What people call the provider of an account.
pub(super) fn title_of(account: &Listed) -> String {
    Profile::find(&account.kind)
        .map_or_else(|| account.provider.to_string(), |profile| title(profile, &account.provider))
}

pub(super) fn show<S, F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>) -> Response<Body<S>> {
    let (mine, others): (Vec<&Listed>, Vec<&Listed>) =
        shown.accounts.iter().partition(|account| (shown.mine)(account));
    let body = html! {
        h1 { "Connected accounts" }
        p { "Agents act on these accounts where the policies of " strong { (shown.person.org.name) } " let them. Every use is on record." }
        h2 { "Yours" }
        @if mine.is_empty() { p { "None yet." } }
        @for account in &mine { (own(shown, account)) }
        @if !others.is_empty() {
            h2 { "Shared with you" }
            ul.list { @for account in &others { (other(account)) } }
        }
        (connect(shown, &mine))
        p { a href="/account" { "Your page" } }
    };
    page(StatusCode::OK, "Connected accounts – Ambit", Forms::Own, &body)
}

/// An account of the person: what it is, who may act on it, what they did, and what can be done about it.
fn own<F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>, account: &Listed) -> Markup {
    let uses: Vec<&Use> = shown.uses.iter().filter(|one| one.connection == account.id.as_str()).collect();
    html! {
        section.account {
            h3 { (title_of(account)) @if !account.label.is_empty() { " · " (visible(&account.label)) } }
            @if account.status == Standing::NeedsReconnect {
                p.alert role="status" { "It has to be connected again" @match &account.reason { Some(why) => { ": " (visible(why)) "." }, None => "." } }
            }
            (about(shown, account))
            details {
                summary { "What agents did with it" }
                @if uses.is_empty() { p { "Nothing in the last 30 days." } }
                @else { ul { @for one in &uses { li { (used(one, shown)) } } } }
            }
            div.actions {
                (button(&shown.token, account, "reconnect", "Connect again"))
                (button(&shown.token, account, "disconnect", "Disconnect"))
            }
            (sharing(shown, account))
        }
    }
}

fn about<F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>, account: &Listed) -> Markup {
    let profile = Profile::find(&account.kind);
    let words = |scope: &String| profile.map_or(scope.clone(), |profile| profile.words_for(scope).to_owned());
    let may: Vec<String> = account.scopes.iter().map(words).collect();
    let agents: Vec<&str> = shown
        .agents
        .iter()
        .filter(|user| user.provider == account.provider)
        .map(|user| user.agent.as_str())
        .collect();
    html! {
        dl {
            @if !may.is_empty() { dt { "It lets them" } dd { (visible(&may.join("; "))) } }
            dt { "Agents with tools for it" } dd { @if agents.is_empty() { "none" } @else { (agents.join(", ")) } }
            dt { "Used by" } dd { (used_by(account)) }
            dt { "Connected" } dd { (ago(account.since, shown.now)) }
            dt { "Last used" } dd { @match account.used { Some(at) => (ago(at, shown.now)), None => "never" } }
        }
    }
}

fn used_by(account: &Listed) -> String {
    match (account.sharing, &account.team) {
        (Sharing::Personal, _) => "you alone".to_owned(),
        (Sharing::Team, Some(team)) => format!("you and team {team}"),
        (Sharing::Team | Sharing::Org, _) => "everybody in the organisation".to_owned(),
    }
}

fn used<F: Fn(&Listed) -> bool>(one: &Use, shown: &Shown<'_, F>) -> Markup {
    let person = one.user.as_deref().filter(|user| *user != shown.person.name.as_str());
    html! {
        (one.agent.as_deref().unwrap_or("an agent"))
        @if let Some(person) = person { ", for " (visible(person)) }
        @if let Some(name) = &one.name { ": " code { (visible(name)) } }
        @if let Some(server) = &one.server { " of " (server) }
        ", " (ago(one.at, shown.now))
    }
}

fn button(token: &str, account: &Listed, what: &str, label: &str) -> Markup {
    html! {
        form method="post" action={ "/account/connections/" (what) } {
            input type="hidden" name="token" value=(token);
            button name="connection" value=(account.id) { (label) }
        }
    }
}

/// Who else may use it: one of the person's teams, or everybody.
fn sharing<F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>, account: &Listed) -> Markup {
    let id = format!("with-{}", account.id);
    html! {
        form method="post" action="/account/connections/share" {
            input type="hidden" name="token" value=(shown.token);
            input type="hidden" name="connection" value=(account.id);
            label for=(id) { "Who may use it" }
            select id=(id) name="with" { (choices(shown, account.sharing, account.team.as_ref().map(TeamName::as_str))) }
            button { "Save" }
        }
    }
}

fn choices<F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>, sharing: Sharing, team: Option<&str>) -> Markup {
    html! {
        option value="personal" selected[sharing == Sharing::Personal] { "Only agents that act for me" }
        @for one in &shown.person.teams {
            option value={ "team:" (one) } selected[team == Some(one.as_str())] { "Agents that act for people of team " (one) }
        }
        @if let Some(team) = team.filter(|team| !shown.person.teams.iter().any(|one| one.as_str() == *team)) {
            option value={ "team:" (team) } selected { "Agents that act for people of team " (team) }
        }
        option value="org" selected[sharing == Sharing::Org] { "Every agent of the organisation" }
    }
}

fn other(account: &Listed) -> Markup {
    html! {
        li {
            p {
                strong { (title_of(account)) } @if !account.label.is_empty() { " · " (visible(&account.label)) }
                br;
                small {
                    "of " (visible(account.owner.as_str()))
                    @if let Some(team) = &account.team { ", for team " (team) } @else { ", for everybody" }
                    @if account.status == Standing::NeedsReconnect { "; it has to be connected again by its owner" }
                }
            }
        }
    }
}

/// Providers, and how to connect an account at one.
fn connect<F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>, mine: &[&Listed]) -> Markup {
    let has_own = |provider: &Provider| {
        mine.iter().any(|one| one.provider == provider.name && one.sharing == Sharing::Personal)
    };
    html! {
        h2 { "Connect another" }
        @if shown.providers.is_empty() {
            p { "Whoever operates " (shown.person.org.name) " has set up no providers yet." }
        } @else {
            ul.list {
                @for provider in &shown.providers { (offer(shown, provider, has_own(provider))) }
            }
        }
    }
}

fn offer<F: Fn(&Listed) -> bool>(shown: &Shown<'_, F>, provider: &Provider, has_own: bool) -> Markup {
    let Some(profile) = Profile::find(&provider.kind) else { return Markup::default() };
    let how = match profile.way {
        Way::Oauth => "you are sent there to agree",
        Way::Key => "with a key that you enter",
        Way::Basic => "with a user name and a password that you enter",
    };
    let name = title(profile, &provider.name);
    let id = format!("connect-{}", provider.name);
    html! {
        li {
            p { strong { (name) } br; small { (how) } }
            form method="post" action="/account/connections/connect" {
                input type="hidden" name="token" value=(shown.token);
                input type="hidden" name="provider" value=(provider.name);
                label.hidden for=(id) { "Who may use your account at " (name) }
                select id=(id) name="with" {
                    @if !has_own { option value="personal" selected { "for me" } }
                    @for team in &shown.person.teams { option value={ "team:" (team) } { "for team " (team) } }
                    option value="org" { "for everybody" }
                }
                button { "Connect " (name) }
            }
        }
    }
}
