//! Telling providers that an account was disconnected here: at once, and if they don't hear, again and again for a day.

use schemas::audit::Actor;
use schemas::ids::{ConnectionId, OrgId};

use super::provider;
use super::ready::ready;
use super::{BrokerError, Credential};
use crate::Gateway;
use crate::audit::{self, About};
use crate::platform::{Batch, Platform, PlatformError};
use crate::store::connections;
use crate::store::revocations::{self as store, Revocation};
use crate::upstream::end_subject;
use crate::vault::Place;

/// How long after a failure it is tried again, in milliseconds; it doubles with each.
const REST: i64 = 30_000;
const LONGEST_REST: i64 = 60 * 60_000;
/// Told in one go of the scheduled work.
const BATCH: i64 = 50;

/// Tells a provider after the answer.
pub(super) fn tell_later<P: Platform>(gateway: &Gateway, platform: &P, id: &ConnectionId) {
    let (gateway, host, id) = (gateway.clone(), platform.clone(), id.clone());
    platform.later(Box::pin(async move {
        if let Err(error) = tell(&gateway, &host, Some(&id)).await {
            tracing::warn!(connection = %id, %error, "a provider was not told; it is tried again");
        }
        end_processes(&gateway, &host, &id).await;
    }));
}

/// Ends the processes that hold its credential.
async fn end_processes<P: Platform>(gateway: &Gateway, platform: &P, id: &ConnectionId) {
    let processes = match connections::processes(platform, id).await {
        Ok(processes) => processes,
        Err(error) => return tracing::warn!(connection = %id, %error, "its processes are not known"),
    };
    for (org, toolbox, server) in &processes {
        if let Err(reason) = end_subject(gateway, platform, (org, toolbox, server), id).await {
            tracing::warn!(connection = %id, %server, reason, "its process was not ended; it ends when it has been idle");
        }
    }
}

/// Tells what is due, or about one connection.
///
/// # Errors
/// The database failed.
pub(super) async fn tell<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    only: Option<&ConnectionId>,
) -> Result<(), PlatformError> {
    // Whoever takes a row has it until it would be tried again.
    for revocation in store::take(platform, only, REST, BATCH).await? {
        let about = about(&revocation.org);
        let told = match one(gateway, platform, &revocation).await {
            Ok(()) => Some("its provider has revoked it".to_owned()),
            Err(BrokerError::Ended(reason)) => Some(format!("its provider says that it was over: {reason}")),
            Err(error) if platform.now() >= revocation.until => {
                Some(format!("its provider was not told, and what was kept for that is erased: {error}"))
            }
            Err(_) => None,
        };
        let statements = if let Some(what) = told {
            vec![note(platform, &about, &revocation, what)?, store::done(&revocation.connection)]
        } else {
            let doublings = u32::try_from(revocation.attempts).unwrap_or(u32::MAX).min(10);
            let rest = REST.saturating_mul(1 << doublings).min(LONGEST_REST);
            vec![store::again(&revocation.connection, platform.now().plus(rest))]
        };
        platform.sql(Batch::write(statements)).await?;
    }
    Ok(())
}

async fn one<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    revocation: &Revocation,
) -> Result<(), BrokerError> {
    let provider = ready(gateway, platform, &revocation.provider).await?;
    let place = Place::Credential {
        org: &revocation.org,
        connection: &revocation.connection,
        owner: &revocation.owner,
        provider: &revocation.provider,
        version: revocation.version,
    };
    let bytes = gateway.keys.open(platform, &place, &revocation.sealed).await?;
    let credential = Credential::from_bytes(&bytes).ok_or(BrokerError::Unopened)?;
    Ok(provider::revoke(gateway, platform, &provider, &credential).await?)
}

fn about(org: &OrgId) -> About {
    About {
        org: org.clone(),
        actor: Actor { agent: None, user: None, credential: "gateway".to_owned() },
        method: "connection.revoke".to_owned(),
        subject: None,
        arguments: None,
        traceparent: None,
    }
}

fn note<P: Platform>(
    platform: &P,
    about: &About,
    revocation: &Revocation,
    what: String,
) -> Result<crate::platform::Statement, PlatformError> {
    audit::revocation_note(platform, about, what, &revocation.connection)
}
