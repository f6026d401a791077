//! Connections as they begin, are shared, and end. Each step is one swap, with the line about it in the same batch.

use std::collections::BTreeSet;

use policies::Permit;
use schemas::ids::{ConnectionId, OrgId, ProviderId, TeamId, UserId};

use super::{Account, BrokerError, Credential, Sharing, revocation};
use crate::Gateway;
use crate::audit::{About, Step};
use crate::platform::{Batch, Platform, PlatformError};
use crate::store::connections::{self as store, Times};
use crate::vault::Place;

/// An account that was just connected, or connected again.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub(crate) id: &'a ConnectionId,
    pub(crate) org: &'a OrgId,
    pub(crate) provider: &'a ProviderId,
    pub(crate) owner: &'a UserId,
    /// Who else may use it. Of an account that is connected again this stays as it was.
    pub(crate) sharing: (Sharing, Option<&'a TeamId>),
    /// Who it is at the provider: the id that never changes, and what people know it by.
    pub(crate) account: (&'a str, &'a str),
    pub(crate) credential: &'a Credential,
    /// 1 for a new one, else one more than the version that is replaced.
    pub(crate) version: i64,
}

/// Keeps an account that its owner may connect. Answers whether it was: somebody may have been faster, or it was disconnected meanwhile.
///
/// # Errors
/// The vault or the database failed: nothing is kept.
pub(crate) async fn keep<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    new: &New<'_>,
    about: &About,
    permit: &Permit,
) -> Result<bool, BrokerError> {
    let place = Place::Credential {
        org: new.org,
        connection: new.id,
        owner: new.owner,
        provider: new.provider,
        version: new.version,
    };
    let sealed = gateway.keys.seal(platform, &place, &new.credential.to_bytes()).await?;
    let kept = store::Kept {
        id: new.id,
        org: new.org,
        provider: new.provider,
        owner: new.owner,
        sharing: new.sharing.0,
        team: new.sharing.1,
        account: new.account,
        scopes: scopes(&new.credential.scopes),
        version: new.version,
        sealed: &sealed,
        times: Times::of(platform, new.credential),
    };
    let what = if new.version == 1 { "an account is connected" } else { "an account is connected again" };
    let step = Step::of_connection(
        platform,
        about,
        "connection.connect",
        what.to_owned(),
        (new.id, Some(new.version)),
        Some(permit),
    )?;
    let statements = vec![store::keep(&kept, &step.id, platform.now()), step.line];
    let results = platform.sql(Batch::write(statements)).await?;
    Ok(crate::store::first(&results, 0).is_some())
}

/// Says who else may use an account. Answers whether it is still there.
///
/// # Errors
/// The database failed.
pub(crate) async fn share<P: Platform>(
    platform: &P,
    id: &ConnectionId,
    (sharing, team): (Sharing, Option<&TeamId>),
    about: &About,
    permit: &Permit,
) -> Result<bool, PlatformError> {
    let what = match (sharing, team) {
        (Sharing::Personal, _) => "it is its owner's alone".to_owned(),
        (Sharing::Team, Some(team)) => format!("it is shared with team `{team}`"),
        (Sharing::Team | Sharing::Org, _) => "it is shared with the organisation".to_owned(),
    };
    let step = Step::of_connection(platform, about, "connection.share", what, (id, None), Some(permit))?;
    let statements = vec![store::share(id, (sharing, team), &step.id), step.line];
    let results = platform.sql(Batch::write(statements)).await?;
    Ok(crate::store::first(&results, 0).is_some())
}

/// Ends a connection: from now on nothing of its credential is left but what its provider still has to be told, sealed, for a day at most.
/// Answers whether there was one.
///
/// # Errors
/// The database failed: it is as it was.
pub(crate) async fn disconnect<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    org: &OrgId,
    id: &ConnectionId,
    about: &About,
    permit: Option<&Permit>,
) -> Result<bool, PlatformError> {
    let now = platform.now();
    let what = "it is disconnected, and its credential erased".to_owned();
    let step = Step::of_connection(platform, about, "connection.disconnect", what, (id, None), permit)?;
    let [queue, ended] = store::disconnect(org, id, &step.id, now);
    let results = platform.sql(Batch::write(vec![queue, ended, step.line])).await?;
    let ended = crate::store::first(&results, 1).is_some();
    if ended {
        revocation::tell_later(gateway, platform, id);
    }
    Ok(ended)
}

/// The provider refuses a credential that should be good: it is over until its owner connects it again.
///
/// # Errors
/// The database failed.
pub(crate) async fn end<P: Platform>(
    platform: &P,
    account: &Account,
    reason: &str,
    about: &About,
) -> Result<(), PlatformError> {
    let what = format!("it has to be connected again: {reason}");
    let step = Step::of_connection(platform, about, "connection.end", what, (&account.id, None), None)?;
    let end = store::end((&account.id, account.version), reason, (platform.now(), &step.id));
    platform.sql(Batch::write(vec![end, step.line])).await.map(drop)
}

/// Scopes as they are stored.
pub(super) fn scopes(scopes: &BTreeSet<String>) -> String {
    serde_json::to_string(scopes).unwrap_or_else(|_| "[]".to_owned())
}
