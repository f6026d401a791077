//! The trail: an intent before anything else happens, an outcome after, and a reaper for what never ended.
//!
//! There is no switch. If an intent can't be written, nothing happens.

mod access;
mod outcome;
pub(crate) mod reaper;
mod step;
mod told;

pub(crate) use access::Access;
pub(crate) use outcome::Conclusion;
pub(crate) use step::{Step, deny_statement};
pub(crate) use told::Told;

use std::time::Duration;

use policies::{Denial, Permit};
use schemas::audit::{AccountRef, Actor, AuditEvent, Phase, Subject};
use schemas::decision::DecisionRecord;
use schemas::ids::{ConnectionId, EventId, OrgId, SessionId, Sha256Hex, Timestamp};

use crate::platform::{Batch, Platform, PlatformError};
use crate::store;

/// What an access is about, for the trail.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) org: OrgId,
    pub(crate) actor: Actor,
    pub(crate) method: String,
    pub(crate) subject: Option<Subject>,
    pub(crate) arguments: Option<Sha256Hex>,
    pub(crate) traceparent: Option<String>,
}

/// A durable record that an access is about to happen: nothing upstream is touched without one. It ends in an outcome, on every path:
/// dropping it says that the caller went away.
#[derive(Debug)]
pub(crate) struct Intent<P: Platform> {
    conclusion: Option<Conclusion<P>>,
}

impl<P: Platform> Intent<P> {
    /// Writes the intent, and returns when it is durable. `longest` is how long the access may take before the reaper closes it.
    ///
    /// # Errors
    /// It could not be written, so nothing may happen.
    pub(crate) async fn write(
        platform: &P,
        about: &About,
        permit: &Permit,
        longest: Duration,
    ) -> Result<Self, PlatformError> {
        let (event, line) = Self::line(platform, about, permit, longest)?;
        platform.sql(Batch::write(vec![line])).await?;
        Ok(Self { conclusion: Some(Conclusion::new(platform.clone(), event)) })
    }

    /// Writes the intent, and in the same transaction the line about the use of an account, which gives its sealed credential. Nothing
    /// instead of that if the account is not as it was decided upon any more.
    ///
    /// # Errors
    /// They could not be written, so nothing may happen.
    pub(crate) async fn write_with_access(
        platform: &P,
        about: &About,
        permit: &Permit,
        longest: Duration,
        access: &Access<'_>,
    ) -> Result<(Self, Option<String>), PlatformError> {
        let (event, line) = Self::line(platform, about, permit, longest)?;
        let statements = access.statements(platform, about, &event.id)?;
        let results =
            platform.sql(Batch::write(std::iter::once(line).chain(statements).collect::<Vec<_>>())).await?;
        let sealed = store::first(&results, 1).map(|row| row.text(0).map(str::to_owned)).transpose()?;
        Ok((Self { conclusion: Some(Conclusion::new(platform.clone(), event)) }, sealed))
    }

    /// The line about another use of an account within this access, which gives its sealed credential.
    ///
    /// # Errors
    /// It could not be written, so the account may not be used.
    pub(crate) async fn access(
        &self,
        platform: &P,
        about: &About,
        access: &Access<'_>,
    ) -> Result<Option<String>, PlatformError> {
        let Some(intent) = self.conclusion.as_ref().and_then(Conclusion::intent) else { return Ok(None) };
        let results = platform.sql(Batch::write(access.statements(platform, about, intent)?)).await?;
        store::first(&results, 0).map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    fn line(
        platform: &P,
        about: &About,
        permit: &Permit,
        longest: Duration,
    ) -> Result<(AuditEvent, crate::platform::Statement), PlatformError> {
        let event = event(platform, about, Phase::Intent, Some(permit.record().clone()));
        // A minute of grace: an outcome may still be on its way when the time is up.
        let due =
            event.at.plus(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX).saturating_add(60_000));
        let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
        let line = store::audit::insert(&event, sealed, Some(due));
        Ok((event, line))
    }

    /// Takes out what ends it. From here on the holder ends it.
    pub(crate) fn conclusion(mut self) -> Option<Conclusion<P>> {
        self.conclusion.take()
    }
}

/// Records a refusal, durably: an agent that probes leaves traces.
pub(crate) async fn deny<P: Platform>(
    platform: &P,
    about: &About,
    denial: &Denial,
) -> Result<EventId, PlatformError> {
    let event = event(platform, about, Phase::Denial, Some(denial.record().clone()));
    write(platform, &event, None, Batch::write).await?;
    Ok(event.id)
}

/// Records a refusal for which no policy was asked: there is no such thing, or not for this caller.
pub(crate) async fn refuse<P: Platform>(
    platform: &P,
    about: &About,
    reason: &str,
) -> Result<EventId, PlatformError> {
    let mut event = event(platform, about, Phase::Denial, None);
    event.reason = Some(reason.to_owned());
    write(platform, &event, None, Batch::write).await?;
    Ok(event.id)
}

/// The line about such a refusal, as a statement for a batch.
pub(crate) fn refuse_statement<P: Platform>(
    platform: &P,
    about: &About,
    reason: &str,
) -> Result<crate::platform::Statement, PlatformError> {
    let mut event = event(platform, about, Phase::Denial, None);
    event.reason = Some(reason.to_owned());
    let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
    Ok(store::audit::insert(&event, sealed, None))
}

/// Records something that is whole in itself.
pub(crate) async fn note<P: Platform>(
    platform: &P,
    about: &About,
    reason: String,
) -> Result<(), PlatformError> {
    let mut event = event(platform, about, Phase::Note, None);
    event.reason = Some(reason);
    write(platform, &event, None, Batch::write).await
}

/// The event of a note, as a statement for the same batch as the change it is about, with the decision that allowed it.
pub(crate) fn note_statement<P: Platform>(
    platform: &P,
    about: &About,
    reason: String,
    decision: Option<DecisionRecord>,
) -> Result<crate::platform::Statement, PlatformError> {
    let mut event = event(platform, about, Phase::Note, decision);
    event.reason = Some(reason);
    let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
    Ok(store::audit::insert(&event, sealed, None))
}

/// The line about how a provider took it that a connection was ended; written before it is forgotten that it had to be told.
pub(crate) fn revocation_note<P: Platform>(
    platform: &P,
    about: &About,
    what: String,
    connection: &ConnectionId,
) -> Result<crate::platform::Statement, PlatformError> {
    let mut event = event(platform, about, Phase::Note, None);
    event.reason = Some(what);
    event.connection = Some(AccountRef { id: connection.clone(), provider: None, version: None });
    let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
    Ok(store::revocations::line(&event, sealed, connection))
}

/// The event of a session that is opened in the same batch, as a statement: written only if it was.
pub(crate) fn opened_statement<P: Platform>(
    platform: &P,
    about: &About,
    reason: String,
    session: &SessionId,
) -> Result<crate::platform::Statement, PlatformError> {
    let mut event = event(platform, about, Phase::Note, None);
    event.reason = Some(reason);
    let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
    Ok(store::audit::insert_if_opened(&event, sealed, session))
}

fn event<P: Platform>(
    platform: &P,
    about: &About,
    phase: Phase,
    decision: Option<DecisionRecord>,
) -> AuditEvent {
    let at = platform.now();
    AuditEvent {
        v: 1,
        id: mint(platform, at),
        org: about.org.clone(),
        at,
        phase,
        intent: None,
        actor: about.actor.clone(),
        method: about.method.clone(),
        subject: about.subject.clone(),
        decision,
        connection: None,
        within: None,
        arguments: about.arguments.clone(),
        outcome: None,
        reason: None,
        traceparent: about.traceparent.clone(),
    }
}

fn mint<P: Platform>(platform: &P, at: Timestamp) -> EventId {
    let mut random = [0; 10];
    platform.fill_random(&mut random);
    EventId::mint(at, random)
}

async fn write<P: Platform>(
    platform: &P,
    event: &AuditEvent,
    due: Option<Timestamp>,
    batch: fn(Vec<crate::platform::Statement>) -> Batch,
) -> Result<(), PlatformError> {
    let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
    platform.sql(batch(vec![store::audit::insert(event, sealed, due)])).await.map(drop)
}
