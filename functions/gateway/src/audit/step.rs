//! The steps of an approval or of a connection: each has a line, in one batch with the step, and none has a line that was not taken.

use policies::{Denial, Permit};
use schemas::audit::{AccountRef, Phase};
use schemas::ids::{ConnectionId, EventId};

use super::{About, event};
use crate::platform::{Platform, PlatformError, Statement};
use crate::store;

/// The line about a step that is about to be tried. The step notes the line's id, by which the line finds out whether it was taken.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) id: EventId,
    pub(crate) line: Statement,
}

impl Step {
    /// A step of that name, about that.
    pub(crate) fn new<P: Platform>(
        platform: &P,
        about: &About,
        action: &'static str,
        what: String,
    ) -> Result<Self, PlatformError> {
        let about = About { method: action.to_owned(), ..about.clone() };
        let mut event = event(platform, &about, Phase::Note, None);
        event.reason = Some(what);
        let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
        let line = store::audit::insert_if_taken(&event, sealed);
        Ok(Self { id: event.id, line })
    }

    /// A step of a connection, on the grounds of that decision if there was one.
    pub(crate) fn of_connection<P: Platform>(
        platform: &P,
        about: &About,
        action: &'static str,
        what: String,
        (connection, version): (&ConnectionId, Option<i64>),
        permit: Option<&Permit>,
    ) -> Result<Self, PlatformError> {
        let about = About { method: action.to_owned(), ..about.clone() };
        let mut event = event(platform, &about, Phase::Note, permit.map(|permit| permit.record().clone()));
        event.reason = Some(what);
        event.connection = Some(AccountRef { id: connection.clone(), provider: None, version });
        let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
        let line = store::connections::line_if_taken(&event, sealed);
        Ok(Self { id: event.id, line })
    }
}

/// The line about a refusal by the policies, with what became of it, as a statement for a batch.
pub(crate) fn deny_statement<P: Platform>(
    platform: &P,
    about: &About,
    denial: &Denial,
    reason: &str,
) -> Result<(EventId, Statement), PlatformError> {
    let mut event = event(platform, about, Phase::Denial, Some(denial.record().clone()));
    event.reason = Some(reason.to_owned());
    let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
    let line = store::audit::insert(&event, sealed, None);
    Ok((event.id, line))
}
