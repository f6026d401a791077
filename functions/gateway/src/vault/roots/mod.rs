//! Root keys: what wraps the keys of organisations, and is not in the database. One wraps; earlier ones still unwrap, until everything has
//! been re-wrapped and they may be destroyed.

mod secret;

use schemas::ids::OrgId;
use zeroize::Zeroizing;

use self::secret::SecretRoot;
use super::place::length_prefixed;
use crate::platform::Platform;
use crate::settings::{BadSettings, Settings};

/// The setting with the root.
pub(crate) const ROOT: &str = "AMBIT_VAULT_ROOT";
/// The setting with the roots before.
pub(crate) const ROOTS_BEFORE: &str = "AMBIT_VAULT_ROOTS_BEFORE";

/// A key of 32 bytes.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// Whose key is wrapped, and which. A root authenticates it with the key: one organisation's wrapped key does not unwrap as another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) org: &'a OrgId,
    pub(super) version: u32,
}

impl Whose<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(80);
        length_prefixed(&mut bytes, b"ambit/v1/vault/tenant-key");
        length_prefixed(&mut bytes, self.org.as_str().as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes
    }
}

/// A wrapped key, and by what: the name of the root, `#`, and which generation of the root's key, where it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub(super) root: String,
    pub(super) text: String,
}

/// Why a root did not wrap or unwrap. `Display` is for operators.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RootError {
    /// It does not answer, or not in time.
    #[error("the root key `{root}` can't be reached: {reason}")]
    Away {
        /// Which.
        root: String,
        /// In its words, or in the network's.
        reason: String,
    },
    /// It refuses us.
    #[error("the root key `{root}` refuses: {reason}")]
    Denied {
        /// Which.
        root: String,
        /// In its words.
        reason: String,
    },
    /// No configured root wrapped this.
    #[error(
        "a key is wrapped by `{root}`, which is none of the root keys: name it in {ROOTS_BEFORE}; if it is lost, what is sealed under it is lost, \
         and people have to connect their accounts again"
    )]
    Unknown {
        /// What wrapped it.
        root: String,
    },
    /// What it unwraps is not what was wrapped.
    #[error("what is said to be wrapped by `{root}` is not: the database was changed by somebody else")]
    Forged {
        /// What is said to have wrapped it.
        root: String,
    },
}

/// Something that wraps keys.
pub(super) trait KeyWrapper {
    /// Which key this is, as it is named in the settings: never the key itself.
    fn key_ref(&self) -> &str;

    /// Wraps a key.
    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError>;

    /// Whether it can unwrap what was wrapped by `root`.
    fn unwraps(&self, platform: &impl Platform, root: &str) -> bool;

    /// Unwraps a key.
    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError>;
}

/// The roots there are.
#[derive(Debug)]
enum Root {
    Secret(SecretRoot),
}

impl Root {
    fn parse(setting: &'static str, text: &str, platform: &impl Platform) -> Result<Self, BadSettings> {
        let wrong = |why: String| BadSettings::IllFormed(setting, why);
        let root = match text.split_once(':') {
            None if text == "local" => Self::Secret(SecretRoot::local()),
            Some(("secret", name)) => Self::Secret(SecretRoot::named(name)),
            _ => {
                return Err(wrong(format!("`{text}` is no root key: give `local` or `secret:NAME`")));
            }
        };
        match &root {
            Self::Secret(root) => root.check(platform).map_err(wrong)?,
        }
        Ok(root)
    }

    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        match self {
            Self::Secret(root) => root.wrap(platform, whose, key).await,
        }
    }

    fn unwraps(&self, platform: &impl Platform, root: &str) -> bool {
        match self {
            Self::Secret(this) => this.unwraps(platform, root),
        }
    }

    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError> {
        match self {
            Self::Secret(root) => root.unwrap(platform, whose, wrapped).await,
        }
    }
}

/// The root that wraps, and those that still unwrap.
#[derive(Debug)]
pub(super) struct Roots {
    current: Root,
    before: Vec<Root>,
}

impl Roots {
    pub(super) fn new(settings: &Settings, platform: &impl Platform) -> Result<Self, BadSettings> {
        let before = settings.vault_roots_before.iter().map(|text| Root::parse(ROOTS_BEFORE, text, platform));
        Ok(Self {
            current: Root::parse(ROOT, &settings.vault_root, platform)?,
            before: before.collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        self.current.wrap(platform, whose, key).await
    }

    pub(super) async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        root: &str,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError> {
        let mut all = std::iter::once(&self.current).chain(&self.before);
        match all.find(|candidate| candidate.unwraps(platform, root)) {
            Some(found) => found.unwrap(platform, whose, wrapped).await,
            None => Err(RootError::Unknown { root: root.to_owned() }),
        }
    }
}
