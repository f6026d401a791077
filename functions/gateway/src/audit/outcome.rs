//! How an access ended.

use schemas::audit::{AuditEvent, Ended, Outcome, Phase};

use super::{mint, write};
use crate::platform::{Batch, Platform};

/// Ends an intent, once: by a word, or by being dropped, which means that the caller went away.
#[derive(Debug)]
pub(crate) struct Conclusion<P: Platform> {
    open: Option<(P, AuditEvent)>,
    bytes: u64,
}

impl<P: Platform> Conclusion<P> {
    pub(super) fn new(platform: P, intent: AuditEvent) -> Self {
        Self { open: Some((platform, intent)), bytes: 0 }
    }

    /// The intent that it ends.
    pub(super) fn intent(&self) -> Option<&schemas::ids::EventId> {
        self.open.as_ref().map(|(_, intent)| &intent.id)
    }

    /// Counts bytes that left for the caller.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Ends it. The row is written after the answer has left.
    pub(crate) fn end(mut self, ended: Ended) {
        self.write(ended);
    }

    fn write(&mut self, ended: Ended) {
        let Some((platform, intent)) = self.open.take() else { return };
        let at = platform.now();
        let duration_ms = u64::try_from(at.0.saturating_sub(intent.at.0)).unwrap_or(0);
        let outcome = AuditEvent {
            id: mint(&platform, at),
            at,
            phase: Phase::Outcome,
            intent: Some(intent.id),
            // Grounds and circumstances are in the intent; an outcome only refers to it.
            decision: None,
            arguments: None,
            traceparent: None,
            reason: None,
            outcome: Some(Outcome { ended, bytes: self.bytes, duration_ms }),
            ..intent
        };
        let host = platform.clone();
        host.later(Box::pin(async move {
            if let Err(error) = write(&platform, &outcome, None, Batch::write_soon).await {
                tracing::error!(%error, intent = ?outcome.intent, "an outcome could not be written; the reaper will close the intent");
            }
        }));
    }
}

impl<P: Platform> Drop for Conclusion<P> {
    fn drop(&mut self) {
        self.write(Ended::Cancelled);
    }
}
