//! Closes intents that never ended: the process died, or the outcome could not be written. Nobody knows what happened, and the trail
//! says so.

use schemas::audit::{AuditEvent, Ended, Outcome, Phase};

use super::mint;
use crate::platform::{Batch, Platform, PlatformError};
use crate::store;

/// Rows closed in one round trip.
const BATCH: i64 = 200;

/// Closes what is due. Answers how many intents had no outcome.
pub(crate) async fn reap<P: Platform>(platform: &P) -> Result<usize, PlatformError> {
    let mut unknown = 0;
    loop {
        let due = store::audit::due(platform, platform.now(), BATCH).await?;
        let mut statements = Vec::with_capacity(due.len() * 2);
        for (intent, has_outcome) in &due {
            if !has_outcome {
                unknown += 1;
                let at = platform.now();
                let outcome = AuditEvent {
                    id: mint(platform, at),
                    at,
                    phase: Phase::Outcome,
                    intent: Some(intent.id.clone()),
                    decision: None,
                    arguments: None,
                    traceparent: None,
                    reason: Some("no outcome was recorded in time".to_owned()),
                    outcome: Some(Outcome {
                        ended: Ended::Unknown,
                        bytes: 0,
                        duration_ms: u64::try_from(at.0.saturating_sub(intent.at.0)).unwrap_or(0),
                    }),
                    ..intent.clone()
                };
                let sealed = outcome.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
                statements.push(store::audit::insert(&outcome, sealed, None));
            }
            statements.push(store::audit::settle(&intent.id));
        }
        if statements.is_empty() {
            return Ok(unknown);
        }
        platform.sql(Batch::write(statements)).await?;
    }
}
