//! The line about a use of an account. It is the statement that reads the sealed credential, and it is made from a permit to use that very
//! connection: so nothing opens without both.

use policies::Permit;
use schemas::audit::{AccountRef, Phase};
use schemas::decision::ResourceFacts;
use schemas::ids::{ConnectionId, EventId};
use schemas::names::ProviderName;

use super::{About, event};
use crate::platform::{Platform, PlatformError, Statement};
use crate::store;

/// A use of an account that the policies allow.
#[derive(Debug)]
pub(crate) struct Access<'p> {
    permit: &'p Permit,
    connection: &'p ConnectionId,
    provider: &'p ProviderName,
    version: i64,
}

impl<'p> Access<'p> {
    /// The use of this version of the connection that the permit is about; nothing if it is about none.
    pub(crate) fn new(permit: &'p Permit, version: i64) -> Option<Self> {
        match &permit.record().request.resource {
            ResourceFacts::Connection(facts) => {
                Some(Self { permit, connection: &facts.id, provider: &facts.provider, version })
            }
            ResourceFacts::Tool(_)
            | ResourceFacts::Prompt(_)
            | ResourceFacts::Resource(_)
            | ResourceFacts::Org(_)
            | ResourceFacts::Toolbox(_)
            | ResourceFacts::Server(_)
            | ResourceFacts::User(_) => None,
        }
    }

    /// The line, whose row is the sealed credential, and the note that the account was used.
    pub(super) fn statements<P: Platform>(
        &self,
        platform: &P,
        about: &About,
        intent: &EventId,
    ) -> Result<Vec<Statement>, PlatformError> {
        let about = About { method: "connection.use".to_owned(), ..about.clone() };
        let mut event = event(platform, &about, Phase::Note, Some(self.permit.record().clone()));
        event.within = Some(intent.clone());
        event.connection = Some(AccountRef {
            id: self.connection.clone(),
            provider: Some(self.provider.clone()),
            version: Some(self.version),
        });
        let sealed = event.seal().map_err(|error| PlatformError::Database(error.to_string()))?;
        let line = store::connections::open(self.connection, self.version, &event, sealed);
        Ok(vec![line, store::connections::used(self.connection, event.at)])
    }
}
