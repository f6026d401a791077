//! Seals and opens credentials: finds the organisation's key, has it unwrapped by its root, and leaves the rest to the envelope.

use std::rc::Rc;

use schemas::ids::OrgId;
use zeroize::Zeroizing;

use super::envelope::{self, TenantKey, Unopened};
use super::held::Held;
use super::place::Place;
use super::roots::{RootError, Roots, Whose};
use crate::error::Fault;
use crate::platform::{Platform, PlatformError, Statement};
use crate::settings::{BadSettings, Settings};
use crate::store::tenant_keys::{self, State, TenantKeyRow};

/// Why nothing was sealed or opened. `Display` is for the log and for operators; callers get [`VaultError::told`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The sealed value was changed, moved or put back, or sealed under another key.
    #[error("{}", Unopened)]
    Unopened,
    /// The key that it is sealed under was shredded, or is not in this database.
    #[error(
        "version {version} of the key of organisation `{org}` is not there: it was shredded, or the database was restored without it"
    )]
    Gone {
        /// Whose.
        org: OrgId,
        /// Which.
        version: u32,
    },
    /// The root key can't be had.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The database failed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl VaultError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unopened | Self::Gone { .. } => Fault::Ours,
            Self::Root(_) | Self::Platform(_) => Fault::Platform,
        }
    }

    /// What a caller may be told: nothing of keys.
    pub fn told(&self) -> &'static str {
        match self {
            Self::Platform(error) => error.told(),
            Self::Unopened | Self::Gone { .. } | Self::Root(_) => "the vault can't be opened at the moment",
        }
    }
}

impl From<Unopened> for VaultError {
    fn from(_: Unopened) -> Self {
        Self::Unopened
    }
}

/// The keys of the vault: the roots, and what they unwrapped of late.
#[derive(Debug)]
pub struct Keys {
    pub(super) roots: Roots,
    pub(super) held: Held,
}

impl Keys {
    /// The keys under the roots that the settings name.
    ///
    /// # Errors
    /// A root is none, or its secret is missing.
    pub fn new(settings: &Settings, platform: &impl Platform) -> Result<Self, BadSettings> {
        Ok(Self { roots: Roots::new(settings, platform)?, held: Held::default() })
    }

    /// Seals a value for a place, under the newest key of its organisation; makes the first one, if there is none.
    ///
    /// # Errors
    /// The root or the database failed: nothing is sealed.
    pub async fn seal<P: Platform>(
        &self,
        platform: &P,
        place: &Place<'_>,
        plain: &[u8],
    ) -> Result<String, VaultError> {
        let key = self.newest(platform, place.org()).await?;
        Ok(envelope::seal(&key, place, |buffer| platform.fill_random(buffer), plain)?)
    }

    /// Opens a value in its place.
    ///
    /// # Errors
    /// It is not what was sealed for that place, or its key can't be had.
    pub async fn open<P: Platform>(
        &self,
        platform: &P,
        place: &Place<'_>,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.version(platform, place.org(), envelope::key_version(sealed)?).await?;
        Ok(envelope::open(&key, place, sealed)?)
    }

    /// The newest key of an organisation. Which one that is, the database says each time: nothing new is sealed under a key that was
    /// rotated out or shredded a moment ago elsewhere.
    async fn newest<P: Platform>(&self, platform: &P, org: &OrgId) -> Result<Rc<TenantKey>, VaultError> {
        match tenant_keys::newest(platform, org).await? {
            Some(row) if row.state == State::Active => self.unwrapped(platform, org, &row).await,
            Some(row) => self.make(platform, org, row.version.saturating_add(1), None).await,
            None => self.make(platform, org, 1, None).await,
        }
    }

    /// One version of the key of an organisation.
    pub(super) async fn version<P: Platform>(
        &self,
        platform: &P,
        org: &OrgId,
        version: u32,
    ) -> Result<Rc<TenantKey>, VaultError> {
        if let Some(outcome) = self.held.get(org, version, platform.now()) {
            return outcome;
        }
        match tenant_keys::find(platform, org, version).await? {
            // On the heap, as it is seldom needed.
            Some(row) => Box::pin(self.unwrapped(platform, org, &row)).await,
            None => Err(VaultError::Gone { org: org.clone(), version }),
        }
    }

    /// Makes a version, with a line for the trail. Whoever else makes it at the same moment may be first: then theirs is the key.
    pub(super) async fn make<P: Platform>(
        &self,
        platform: &P,
        org: &OrgId,
        version: u32,
        note: Option<Statement>,
    ) -> Result<Rc<TenantKey>, VaultError> {
        let mut key = Zeroizing::new([0; 32]);
        platform.fill_random(key.as_mut_slice());
        let wrapped = self.roots.wrap(platform, &Whose { org, version }, &key).await?;
        let row = TenantKeyRow {
            version,
            root: wrapped.root,
            wrapped: wrapped.text,
            prefix: envelope::prefix(version),
            state: State::Active,
        };
        match tenant_keys::add(platform, org, &row, note, platform.now()).await? {
            Some(there) if there == row => {
                let made = Ok(Rc::new(TenantKey::new(version, key)));
                self.held.put(org, version, platform.now(), &made);
                made
            }
            Some(there) => self.unwrapped(platform, org, &there).await,
            None => Err(VaultError::Gone { org: org.clone(), version }),
        }
    }

    /// The key in a row.
    async fn unwrapped<P: Platform>(
        &self,
        platform: &P,
        org: &OrgId,
        row: &TenantKeyRow,
    ) -> Result<Rc<TenantKey>, VaultError> {
        let version = row.version;
        if row.state == State::Shredded {
            return Err(VaultError::Gone { org: org.clone(), version });
        }
        if let Some(outcome) = self.held.get(org, version, platform.now()) {
            return outcome;
        }
        let key = self.roots.unwrap(platform, &Whose { org, version }, &row.root, &row.wrapped).await;
        let outcome = match key {
            Ok(key) => Ok(Rc::new(TenantKey::new(version, key))),
            Err(error) => Err(VaultError::Root(error)),
        };
        self.held.put(org, version, platform.now(), &outcome);
        outcome
    }
}
