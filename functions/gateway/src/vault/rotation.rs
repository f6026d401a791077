//! Newer keys for older ones: a new version of an organisation's key, everything moved under the newest, and the end of all of them.

use schemas::ids::OrgId;

use super::credentials::{Keys, VaultError};
use super::envelope;
use super::roots::Whose;
use crate::platform::{Batch, Platform, PlatformError, Statement};
use crate::store::{sealed, tenant_keys};

/// How a cursor begins that stands among the keys, and one among the values. Keys come first.
const KEYS: &str = "key/";
const VALUES: &str = "value/";

/// What one round of re-wrapping did.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Keys that are under the newest root now.
    pub(crate) keys: usize,
    /// Values that are under the newest key of their organisation now.
    pub(crate) values: usize,
    /// What could not be moved, and why.
    pub(crate) failed: Vec<(String, VaultError)>,
    /// Where the next round goes on, if there may be more.
    pub(crate) next: Option<String>,
}

impl Keys {
    /// The root that wraps, and those before it, as the settings name them.
    pub(crate) fn roots(&self) -> (&str, Vec<&str>) {
        (self.roots.current(), self.roots.before().collect())
    }

    /// The root that wraps as it is written down with what it wraps.
    pub(crate) async fn mark<P: Platform>(&self, platform: &P) -> Result<String, VaultError> {
        Ok(self.roots.mark(platform).await?)
    }

    /// Makes a new version of an organisation's key: from now on it seals. The line of the trail is about that version.
    ///
    /// # Errors
    /// The root or the database failed; then the version before goes on.
    pub(crate) async fn rotate<P: Platform>(
        &self,
        platform: &P,
        org: &OrgId,
        note: impl FnOnce(u32) -> Result<Statement, PlatformError>,
    ) -> Result<u32, VaultError> {
        let newest = tenant_keys::newest(platform, org).await?.map_or(0, |row| row.version);
        let version = newest.saturating_add(1);
        Ok(self.make(platform, org, version, Some(note(version)?)).await?.version())
    }

    /// Moves keys under the newest root and values under the newest keys: so many at most, from where the round before stopped. What
    /// somebody else changes at the same time is theirs.
    ///
    /// # Errors
    /// The root that wraps can't be asked, or the database failed. What single keys and values fail by is in the answer.
    pub(crate) async fn rewrap<P: Platform>(
        &self,
        platform: &P,
        mark: &str,
        after: &str,
        limit: i64,
    ) -> Result<Moved, VaultError> {
        let mut moved = Moved::default();
        let mut room = limit;
        // Keys come first.
        if !after.starts_with(VALUES) {
            let after = after.strip_prefix(KEYS).unwrap_or_default();
            let keys = tenant_keys::wrapped_elsewhere(platform, mark, after, limit).await?;
            let mut swaps = Vec::new();
            for key in &keys {
                match self.move_key(platform, key).await {
                    Ok(swap) => swaps.push(swap),
                    Err(error) => moved.failed.push((format!("{KEYS}{}", key.at), error)),
                }
            }
            moved.keys = done(platform, swaps).await?;
            room = room.saturating_sub(i64::try_from(keys.len()).unwrap_or(i64::MAX));
            if let Some(last) = keys.last().filter(|_| room <= 0) {
                moved.next = Some(format!("{KEYS}{}", last.at));
                return Ok(moved);
            }
        }
        let after = after.strip_prefix(VALUES).unwrap_or_default();
        let values = sealed::old(platform, after, room).await?;
        let mut swaps = Vec::new();
        for old in &values {
            match self.move_value(platform, old).await {
                Ok(swap) => swaps.push(swap),
                Err(error) => moved.failed.push((format!("{VALUES}{}", old.at), error)),
            }
        }
        moved.values = done(platform, swaps).await?;
        let full = i64::try_from(values.len()).is_ok_and(|found| found >= room);
        moved.next = values.last().filter(|_| full).map(|last| format!("{VALUES}{}", last.at));
        Ok(moved)
    }

    async fn move_key<P: Platform>(
        &self,
        platform: &P,
        tenant_keys::Elsewhere { org, row, .. }: &tenant_keys::Elsewhere,
    ) -> Result<Statement, VaultError> {
        let whose = Whose { org, version: row.version };
        let key = self.roots.unwrap(platform, &whose, &row.root, &row.wrapped).await?;
        let wrapped = self.roots.wrap(platform, &whose, &key).await?;
        Ok(tenant_keys::rewrap(org, row, &wrapped.root, &wrapped.text))
    }

    async fn move_value<P: Platform>(
        &self,
        platform: &P,
        old: &sealed::Old,
    ) -> Result<Statement, VaultError> {
        let newest = u32::try_from(old.newest).map_err(|_| VaultError::Unopened)?;
        let from = self.version(platform, &old.org, envelope::key_version(&old.sealed)?).await?;
        let to = self.version(platform, &old.org, newest).await?;
        let random = |buffer: &mut [u8]| platform.fill_random(buffer);
        Ok(old.swap(&envelope::rewrap(&from, &to, &old.place(), random, &old.sealed)?))
    }

    /// Deletes all keys of an organisation and everything that is sealed under them, with a line in the trail. Answers how many accounts
    /// are disconnected by that.
    ///
    /// # Errors
    /// The database failed; then nothing is deleted.
    pub(crate) async fn shred<P: Platform>(
        &self,
        platform: &P,
        org: &OrgId,
        note: Statement,
    ) -> Result<(usize, usize), PlatformError> {
        let mut statements = vec![tenant_keys::shred(org)];
        statements.extend(sealed::shred(org, platform.now()));
        statements.push(note);
        let results = platform.sql(Batch::write(statements)).await?;
        self.held.forget(org);
        let rows = |index: usize| results.get(index).map_or(0, Vec::len);
        Ok((rows(0), rows(1)))
    }
}

/// Makes swaps, and answers how many took effect.
async fn done<P: Platform>(platform: &P, swaps: Vec<Statement>) -> Result<usize, PlatformError> {
    if swaps.is_empty() {
        return Ok(0);
    }
    let results = platform.sql(Batch::write(swaps)).await?;
    Ok(results.iter().filter(|rows| !rows.is_empty()).count())
}
