//! Tickets: somebody's wish to connect an account, as the end of a connect URL. It tells nothing, and is worth nothing without the session of
//! the person whom it is for. The same wish has the same ticket, however often an agent asks: so a looping agent makes no flood.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use schemas::ids::{AgentId, ConnectionId, OrgId, ProviderId, ServerId, TeamId, TicketId, Timestamp, UserId};
use sha2::Sha256;

use super::Sharing;
use crate::Gateway;
use crate::platform::{Platform, Statement};
use crate::store::tickets;

/// How long a wish is good for, in milliseconds; asking again makes it good for as long again.
pub(crate) const HOLDS: i64 = 10 * 60 * 1000;

/// Who asked, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) agent: &'a AgentId,
    pub(crate) server: &'a ServerId,
    /// Empty where it is for no tool.
    pub(crate) tool: &'a str,
}

/// A wish to connect.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) org: &'a OrgId,
    pub(crate) user: &'a UserId,
    pub(crate) provider: &'a ProviderId,
    /// Nothing if the person came by themselves.
    pub(crate) asking: Option<Asking<'a>>,
    /// What is needed of the account.
    pub(crate) scopes: &'a BTreeSet<String>,
    pub(crate) aim: Aim,
}

/// What becomes of the account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Aim {
    /// It is this one, connected again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<ConnectionId>,
    /// Who else may use it, if it is a new one.
    #[serde(default = "personal")]
    pub(crate) sharing: Sharing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team: Option<TeamId>,
}

fn personal() -> Sharing {
    Sharing::Personal
}

impl Default for Aim {
    fn default() -> Self {
        Self { again: None, sharing: Sharing::Personal, team: None }
    }
}

/// The connect URL of a wish, and the statement that makes or renews its ticket: it goes into the batch with the line about who asked.
pub(crate) fn ask<P: Platform>(gateway: &Gateway, platform: &P, wanted: &Wanted<'_>) -> (String, Statement) {
    let id = id(gateway, wanted);
    let now = platform.now();
    let statement = tickets::put(&id, wanted, (now, now.plus(HOLDS)));
    (format!("{}/connect/{id}", gateway.settings.public_url), statement)
}

/// The id of a wish: nobody can work it out who does not have our key.
fn id(gateway: &Gateway, wanted: &Wanted<'_>) -> TicketId {
    let (agent, server, tool) = parts(wanted);
    let wish = [wanted.user.as_str(), wanted.provider.as_str(), agent, server, tool].join("\n");
    let mut random = [0; 10];
    // A key of any length is fine for HMAC, so this can't fail.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&gateway.vault.derive("ambit/v1/ticket")) {
        mac.update(wish.as_bytes());
        for (to, from) in random.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
    }
    TicketId::mint(Timestamp(0), random)
}

/// Who asked and for what, as the store has it: empty if the person came by themselves.
pub(crate) fn parts<'a>(wanted: &Wanted<'a>) -> (&'a str, &'a str, &'a str) {
    let asking = wanted.asking;
    asking.map_or(("", "", ""), |asking| (asking.agent.as_str(), asking.server.as_str(), asking.tool))
}
