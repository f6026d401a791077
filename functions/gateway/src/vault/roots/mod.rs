//! Root keys: what wraps the keys of organisations, and is not in the database. One wraps; earlier ones still unwrap, until everything has
//! been re-wrapped and they may be destroyed.

mod asking;
mod aws;
mod gcp;
mod secret;
mod sigv4;
mod transit;

use schemas::ids::{OrgId, Timestamp};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use self::aws::AwsRoot;
use self::gcp::GcpRoot;
use self::secret::SecretRoot;
use self::transit::TransitRoot;
use super::place::length_prefixed;
use crate::platform::Platform;
use crate::settings::{BadSettings, Settings};

/// The setting with the root.
const ROOT: &str = "AMBIT_VAULT_ROOT";
/// The setting with the roots before.
const ROOTS_BEFORE: &str = "AMBIT_VAULT_ROOTS_BEFORE";

/// The setting with the address of a key service that is not at its usual one.
const ENDPOINT: &str = "AMBIT_VAULT_ENDPOINT";

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
trait KeyWrapper {
    /// Which key this is, as the settings name it: never the key itself.
    fn key_ref(&self) -> &str;

    /// Wraps a key.
    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError>;

    /// Unwraps a key.
    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError>;

    /// Whether it unwraps what `root` wrapped: itself, of whichever generation.
    fn unwraps(&self, _platform: &impl Platform, root: &str) -> bool {
        root.split('#').next() == Some(self.key_ref())
    }
}

/// The kinds of roots.
#[derive(Debug)]
enum Root {
    Secret(SecretRoot),
    Transit(TransitRoot),
    Aws(AwsRoot),
    Gcp(GcpRoot),
}

impl Root {
    fn parse(text: &str, endpoint: Option<&str>) -> Result<Self, String> {
        if text.contains('#') {
            return Err(format!("`{text}` is no root key: it holds `#`"));
        }
        match text.split_once(':') {
            None if text == "local" => Ok(Self::Secret(SecretRoot::local())),
            Some(("secret", name)) => Ok(Self::Secret(SecretRoot::named(name))),
            Some(("transit", url)) => TransitRoot::parse(url).map(Self::Transit),
            Some(("aws-kms", arn)) => AwsRoot::parse(arn, endpoint).map(Self::Aws),
            Some(("gcp-kms", name)) => GcpRoot::parse(name, endpoint).map(Self::Gcp),
            _ => Err(format!(
                "`{text}` is no root key: give `local`, `secret:NAME`, `transit:https://HOST/v1/transit/keys/NAME`, `aws-kms:ARN` or \
                 `gcp-kms:projects/…/cryptoKeys/NAME`"
            )),
        }
    }

    /// The secrets without which it can't be used.
    fn secrets(&self) -> Vec<String> {
        match self {
            Self::Secret(root) => vec![root.secret().to_owned()],
            Self::Transit(_) => vec![transit::TOKEN.to_owned()],
            Self::Aws(_) => aws::CREDENTIALS.map(str::to_owned).to_vec(),
            Self::Gcp(_) => vec![gcp::CREDENTIALS.to_owned()],
        }
    }

    /// Whether what it needs is there.
    fn check(&self, platform: &impl Platform) -> Result<(), String> {
        if let Self::Secret(root) = self {
            return root.check(platform);
        }
        let missing = self.secrets().into_iter().find(|name| {
            name != aws::SESSION_TOKEN
                && platform.secret(name).is_none_or(|secret| secret.expose().is_empty())
        });
        missing.map_or(Ok(()), |name| Err(format!("secret `{name}` is missing")))
    }
}

impl KeyWrapper for Root {
    fn key_ref(&self) -> &str {
        match self {
            Self::Secret(root) => root.key_ref(),
            Self::Transit(root) => root.key_ref(),
            Self::Aws(root) => root.key_ref(),
            Self::Gcp(root) => root.key_ref(),
        }
    }

    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        match self {
            Self::Secret(root) => root.wrap(platform, whose, key).await,
            Self::Transit(root) => root.wrap(platform, whose, key).await,
            Self::Aws(root) => root.wrap(platform, whose, key).await,
            Self::Gcp(root) => root.wrap(platform, whose, key).await,
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
            Self::Transit(root) => root.unwrap(platform, whose, wrapped).await,
            Self::Aws(root) => root.unwrap(platform, whose, wrapped).await,
            Self::Gcp(root) => root.unwrap(platform, whose, wrapped).await,
        }
    }

    fn unwraps(&self, platform: &impl Platform, root: &str) -> bool {
        match self {
            Self::Secret(this) => this.unwraps(platform, root),
            Self::Transit(this) => this.unwraps(platform, root),
            Self::Aws(this) => this.unwraps(platform, root),
            Self::Gcp(this) => this.unwraps(platform, root),
        }
    }
}

/// The key that a root unwrapped, if it is one.
fn key_of(root: &str, plain: Option<Zeroizing<Vec<u8>>>) -> Result<KeyBytes, RootError> {
    let key = plain.and_then(|plain| plain.as_slice().try_into().ok().map(Zeroizing::new));
    key.ok_or_else(|| RootError::Forged { root: root.to_owned() })
}

/// The names of the secrets that roots need, as far as the texts name any.
pub(crate) fn secrets<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    texts.filter_map(|text| Root::parse(text, None).ok()).flat_map(|root| root.secrets()).collect()
}

/// The root that wraps, and those that still unwrap.
#[derive(Debug)]
pub(super) struct Roots {
    current: Root,
    before: Vec<Root>,
}

impl Roots {
    pub(super) fn new(settings: &Settings, platform: &impl Platform) -> Result<Self, BadSettings> {
        if let Some(endpoint) = &settings.vault_endpoint {
            asking::address(endpoint).map_err(|why| BadSettings::IllFormed(ENDPOINT, why))?;
        }
        let root = |setting: &'static str, text: &str| {
            let root = Root::parse(text, settings.vault_endpoint.as_deref());
            root.and_then(|root| root.check(platform).map(|()| root))
                .map_err(|why| BadSettings::IllFormed(setting, why))
        };
        let before = settings.vault_roots_before.iter().map(|text| root(ROOTS_BEFORE, text));
        Ok(Self { before: before.collect::<Result<_, _>>()?, current: root(ROOT, &settings.vault_root)? })
    }

    /// The root that wraps, as the settings name it.
    pub(super) fn current(&self) -> &str {
        self.current.key_ref()
    }

    /// Those before it.
    pub(super) fn before(&self) -> impl Iterator<Item = &str> {
        self.before.iter().map(KeyWrapper::key_ref)
    }

    /// The root that wraps, with the generation that it is at now: as it is written down with what it wraps. Only wrapping tells, so a key
    /// is wrapped that nobody uses.
    pub(super) async fn mark(&self, platform: &impl Platform) -> Result<String, RootError> {
        let nobody = OrgId::mint(Timestamp(0), [0; 10]);
        let mut key = Zeroizing::new([0; 32]);
        platform.fill_random(key.as_mut_slice());
        Ok(self.current.wrap(platform, &Whose { org: &nobody, version: 0 }, &key).await?.root)
    }

    /// Wraps a key, and sees that it can be had again: nothing is ever sealed under a key that only goes in.
    pub(super) async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        let wrapped = self.current.wrap(platform, whose, key).await?;
        let again = self.current.unwrap(platform, whose, &wrapped.text).await?;
        if bool::from(again.as_slice().ct_eq(key.as_slice())) {
            return Ok(wrapped);
        }
        Err(RootError::Forged { root: wrapped.root })
    }

    /// Unwraps a key with the root that wrapped it.
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
