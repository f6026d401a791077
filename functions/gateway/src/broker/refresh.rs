//! Renewing a credential, by one of many who would, on hosts that know nothing of each other. Whoever gets the lease sends the refresh
//! token, after noting that it will; a swap on the version keeps what comes back. The others wait for the version to change.

use std::time::Duration;

use futures_channel::oneshot;
use schemas::ids::{ConnectionId, EventId};

use super::connections::scopes;
use super::provider::token;
use super::ready::ready;
use super::{Account, BrokerError, Credential};
use crate::Gateway;
use crate::audit::{About, Step};
use crate::platform::{Batch, Platform, PlatformError, Statement};
use crate::store::connections::{self as store, Leased, Times};
use crate::store::providers;
use crate::vault::Place;

/// How long a lease holds, in milliseconds: longer than any request to a provider may take.
const LEASE: i64 = 20_000;
/// How often whoever waits for somebody else's refresh looks, and for how long.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 250;
/// How long after a failure nobody tries again, in milliseconds; it doubles with each in a row.
const REST: i64 = 5_000;
const LONGEST_REST: i64 = 15 * 60_000;
/// How often what a provider gave is tried to be stored: it may be the only one that will ever work.
const STORES: u32 = 5;

/// What came of an attempt.
#[derive(Debug, Clone)]
enum Outcome {
    /// There is a newer version.
    Renewed,
    /// Somebody else is at it, or it rests after a failure.
    NotOurs,
    Failed(BrokerError),
}

/// Renews a credential after the answer, if it is due.
pub(crate) fn refresh_later<P: Platform>(gateway: &Gateway, platform: &P, account: &Account, about: &About) {
    // Whoever waits for it has gone, and that is no reason to stop.
    drop(begin(gateway, platform, (&account.id, account.version), about));
}

/// Makes an account whose token is over usable again, and answers the version of its credential then.
pub(crate) async fn make_usable<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    account: &Account,
    about: &About,
) -> Result<i64, BrokerError> {
    // It may have been renewed since it was looked up.
    let now = platform.now();
    let seen = look(platform, &account.id).await?;
    if seen.version != account.version && seen.usable_until.is_none_or(|until| now < until) {
        return Ok(seen.version);
    }
    renew(gateway, platform, (&account.id, seen.version), about).await
}

/// The server refused a credential whose time was not over: it is renewed, once, unless somebody did already.
pub(crate) async fn refused<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    account: &Account,
    about: &About,
) -> Result<i64, BrokerError> {
    let seen = look(platform, &account.id).await?;
    if seen.version != account.version {
        return Ok(seen.version);
    }
    renew(gateway, platform, (&account.id, account.version), about).await
}

/// Renews what is due ahead of time, for the scheduled work.
pub(super) async fn ahead<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    which: (&ConnectionId, i64),
    about: &About,
) {
    if let Ok(Outcome::Failed(error)) = begin(gateway, platform, which, about).await {
        tracing::info!(connection = %which.0, %error, "an account was not renewed ahead");
    }
}

async fn renew<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (id, version): (&ConnectionId, i64),
    about: &About,
) -> Result<i64, BrokerError> {
    // Twice: whoever is at it may have died, and its lease runs out.
    for _ in 0..2 {
        match begin(gateway, platform, (id, version), about).await {
            Ok(Outcome::Renewed) => return Ok(version.saturating_add(1)),
            Ok(Outcome::NotOurs) => {
                if let Some(version) = wait(platform, (id, version)).await? {
                    return Ok(version);
                }
            }
            Ok(Outcome::Failed(error)) => return Err(error),
            Err(oneshot::Canceled) => break,
        }
    }
    Err(BrokerError::Later("its renewal did not work a moment ago".to_owned()))
}

/// Begins an attempt that goes on whoever stops waiting for it.
fn begin<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (id, version): (&ConnectionId, i64),
    about: &About,
) -> oneshot::Receiver<Outcome> {
    let (tell, told) = oneshot::channel();
    let attempt = Attempt {
        gateway: gateway.clone(),
        platform: platform.clone(),
        id: id.clone(),
        version,
        about: about.clone(),
    };
    platform.later(Box::pin(async move {
        let outcome = attempt.make().await.unwrap_or_else(|error| Outcome::Failed(error.into()));
        let _nobody_may_be_waiting = tell.send(outcome);
    }));
    told
}

/// Waits until somebody else has renewed it, and answers the version then; nothing if nobody is at it any more.
async fn wait<P: Platform>(
    platform: &P,
    (id, version): (&ConnectionId, i64),
) -> Result<Option<i64>, BrokerError> {
    for _ in 0..LOOKS {
        let seen = look(platform, id).await?;
        if seen.version != version {
            return Ok(Some(seen.version));
        }
        if !seen.leased {
            return Ok(None);
        }
        platform.sleep(LOOK).await;
    }
    Ok(None)
}

async fn look<P: Platform>(platform: &P, id: &ConnectionId) -> Result<store::Watched, BrokerError> {
    match store::watch(platform, id).await? {
        Some(seen) if seen.active => Ok(seen),
        _ => {
            Err(BrokerError::Ended("it was disconnected meanwhile, or has to be connected again".to_owned()))
        }
    }
}

/// One attempt to renew one version.
struct Attempt<P: Platform> {
    gateway: Gateway,
    platform: P,
    id: ConnectionId,
    version: i64,
    about: About,
}

impl<P: Platform> Attempt<P> {
    async fn make(&self) -> Result<Outcome, PlatformError> {
        let lease = self.lease();
        let now = self.platform.now();
        let noted = self.step("connection.refresh", "its credential is being renewed", None)?;
        let taken = store::lease((&self.id, self.version), &lease, (now, now.plus(LEASE)), &noted.id);
        let results = self.platform.sql(Batch::write(vec![taken, noted.line])).await?;
        let Some(leased) = crate::store::first(&results, 0).map(store::leased).transpose()? else {
            return Ok(Outcome::NotOurs);
        };
        match self.ask(&leased).await {
            Ok(credential) => self.keep(&leased, &lease, &credential).await,
            Err(BrokerError::Ended(reason)) => {
                self.end(&reason).await?;
                Ok(Outcome::Failed(BrokerError::Ended(reason)))
            }
            Err(error) => {
                self.fail(&lease, &leased, &error).await?;
                Ok(Outcome::Failed(error))
            }
        }
    }

    /// Has the provider renew it.
    async fn ask(&self, leased: &Leased) -> Result<Credential, BrokerError> {
        let provider = ready(&self.gateway, &self.platform, &leased.provider).await?;
        let place = self.place(leased, self.version);
        let bytes = self.gateway.keys.open(&self.platform, &place, &leased.sealed).await?;
        let credential = Credential::from_bytes(&bytes).ok_or(BrokerError::Unopened)?;
        if credential.refresh.is_none() {
            return Err(BrokerError::Ended(
                "its time is over, and it can't be renewed without you".to_owned(),
            ));
        }
        Ok(token::refresh(&self.gateway, &self.platform, &provider, &credential).await?)
    }

    /// Stores what the provider gave. Nothing else is awaited before.
    async fn keep(
        &self,
        leased: &Leased,
        lease: &str,
        credential: &Credential,
    ) -> Result<Outcome, PlatformError> {
        let next = self.version.saturating_add(1);
        let place = self.place(leased, next);
        let mut last = None;
        for attempt in 0..STORES {
            if attempt > 0 {
                self.platform.sleep(Duration::from_millis(200 << attempt)).await;
            }
            let sealed = match self.gateway.keys.seal(&self.platform, &place, &credential.to_bytes()).await {
                Ok(sealed) => sealed,
                Err(error) => {
                    last = Some(BrokerError::from(error));
                    continue;
                }
            };
            let done = self.step("connection.refresh", "its credential is renewed", Some(next))?;
            let renewed = self.renewed(credential, &sealed, &done.id);
            match self.platform.sql(Batch::write(vec![renewed, done.line])).await {
                Ok(results) if crate::store::first(&results, 0).is_some() => return Ok(Outcome::Renewed),
                // Somebody else stored a newer version, or an earlier try of ours did and its answer was lost: either way there is one.
                Ok(_) => {
                    let seen = store::watch(&self.platform, &self.id).await?;
                    return Ok(match seen {
                        Some(seen) if seen.active && seen.version == next => Outcome::Renewed,
                        _ => Outcome::NotOurs,
                    });
                }
                Err(error) => last = Some(error.into()),
            }
        }
        let error = last.unwrap_or(BrokerError::Unopened);
        // The lease runs out by itself; then the old token is tried once more, which some providers forgive.
        tracing::error!(connection = %self.id, lease, %error, "a renewed credential could not be stored");
        Ok(Outcome::Failed(error))
    }

    fn renewed(&self, credential: &Credential, sealed: &str, event: &EventId) -> Statement {
        let times = Times::of(&self.platform, credential);
        let scopes = scopes(&credential.scopes);
        store::renew((&self.id, self.version), sealed, &scopes, times, (self.platform.now(), event))
    }

    async fn end(&self, reason: &str) -> Result<(), PlatformError> {
        let ended = self.step("connection.end", &format!("it has to be connected again: {reason}"), None)?;
        let end = store::end((&self.id, self.version), reason, (self.platform.now(), &ended.id));
        self.platform.sql(Batch::write(vec![end, ended.line])).await.map(drop)
    }

    /// Nothing is lost: the old credential stays, and the next attempt waits.
    async fn fail(&self, lease: &str, leased: &Leased, error: &BrokerError) -> Result<(), PlatformError> {
        let failed =
            self.step("connection.refresh", &format!("its credential could not be renewed: {error}"), None)?;
        let doublings = u32::try_from(leased.failures).unwrap_or(u32::MAX).min(10);
        let rest = REST.saturating_mul(1 << doublings).min(LONGEST_REST);
        let retry_at = self.platform.now().plus(rest);
        let mut statements =
            vec![store::fail((&self.id, self.version), lease, retry_at, &failed.id), failed.line];
        if let BrokerError::Ours(reason) = error {
            error.fault().log(&format!("provider {}: {reason}", leased.provider));
            statements.push(providers::note_trouble(&leased.provider, Some(reason), self.platform.now()));
        }
        self.platform.sql(Batch::write(statements)).await.map(drop)
    }

    fn place<'a>(&'a self, leased: &'a Leased, version: i64) -> Place<'a> {
        Place::Credential {
            org: &leased.org,
            connection: &self.id,
            owner: &leased.owner,
            provider: &leased.provider,
            version,
        }
    }

    fn step(&self, action: &'static str, what: &str, version: Option<i64>) -> Result<Step, PlatformError> {
        Step::of_connection(&self.platform, &self.about, action, what.to_owned(), (&self.id, version), None)
    }

    fn lease(&self) -> String {
        let mut random = [0; 16];
        self.platform.fill_random(&mut random);
        schemas::ids::hex(&random)
    }
}
