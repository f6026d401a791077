//! Ambit's core: every AI agent gets exactly its ambit. Pure and host-free; a host implements [`platform::Platform`] and calls
//! [`Gateway::handle`] for requests and [`Gateway::tick`] once a minute.
//!
//! Reading order is walk order: [`routes`] parse, `identity` says who, `toolboxes` says what, `policies` (its own package) says
//! whether, `audit` records it, `upstream` forwards it.

pub mod body;
pub mod platform;
pub mod secret;

mod approvals;
mod audit;
mod broker;
mod clients;
pub mod egress;
mod error;
mod identity;
mod json;
mod limits;
mod protocol;
mod routes;
mod settings;
mod store;
mod toolboxes;
mod upgrade;
mod upstream;
pub mod vault;
mod walk;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use policies::CompiledSet;
use schemas::ids::Sha256Hex;

pub use crate::body::Body;
pub use crate::error::Fault;
pub use crate::limits::Rates;
use crate::platform::{Platform, PlatformError};
pub use crate::routes::api::Operation;
pub use crate::settings::{BadSettings, Settings};

/// One gateway, to be handed around: work that outlives a request keeps hold of it.
#[derive(Debug, Clone)]
pub struct Gateway(Rc<Inside>);

impl std::ops::Deref for Gateway {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

/// What a gateway is made of: settings, keys, and caches of what is content-addressed or expires. One per thread; nothing else is kept
/// between requests.
#[derive(Debug)]
pub struct Inside {
    settings: Settings,
    vault: Rc<vault::Vault>,
    keys: vault::Keys,
    provisioner_key: Vec<u8>,
    transit: upstream::Transit,
    tokens: identity::jwt::Tokens,
    access_tokens: identity::access_token::AccessTokens,
    identity_providers: identity::oidc::Discovered,
    limits: limits::Limits,
    sets: RefCell<HashMap<Sha256Hex, Rc<CompiledSet>>>,
}

impl Gateway {
    /// A gateway with these settings and the platform's secrets.
    ///
    /// # Errors
    /// A secret is missing or ill-formed; a gateway does not run without its root key.
    pub fn new(settings: Settings, platform: &impl Platform) -> Result<Self, BadSettings> {
        let root = platform.secret(settings::ROOT_KEY).ok_or(BadSettings::Missing(settings::ROOT_KEY))?;
        let vault = vault::Vault::new(&root)
            .map_err(|error| BadSettings::IllFormed(settings::ROOT_KEY, error.to_string()))?;
        let provisioner_key = match platform.secret(settings::PROVISIONER_KEY) {
            Some(key) => settings::decode_key(&key).ok_or_else(|| {
                BadSettings::IllFormed(
                    settings::PROVISIONER_KEY,
                    "it must be 32 bytes in base64url".to_owned(),
                )
            })?,
            None => vault.derive("ambit/v1/provisioner").to_vec(),
        };
        let keys = vault::Keys::new(&settings, platform)?;
        let limits = limits::Limits::new(settings.rates.clone());
        let access_tokens =
            identity::access_token::AccessTokens::new(&settings.public_url, settings.signing_generation);
        Ok(Self(Rc::new(Inside {
            access_tokens,
            settings,
            vault: Rc::new(vault),
            keys,
            provisioner_key,
            transit: upstream::Transit::default(),
            tokens: identity::jwt::Tokens::default(),
            identity_providers: identity::oidc::Discovered::default(),
            limits,
            sets: RefCell::default(),
        })))
    }

    /// The key that provisioners of this gateway check signatures with, in base64url.
    pub fn provisioner_key(&self) -> secret::Secret {
        settings::encode_key(&self.provisioner_key)
    }

    /// Answers a request, if need be before its body is read. There is always an answer.
    pub async fn handle<P: Platform>(
        &self,
        platform: &P,
        request: http::Request<impl body::Incoming>,
    ) -> http::Response<Body<P::Stream>> {
        routes::route(self, platform, request).await
    }

    /// Brings the database to the newest migration, and every organisation to the guardrails of this build. Safe to call at every start.
    ///
    /// # Errors
    /// The database failed; the gateway must not serve then.
    pub async fn migrate<P: Platform>(&self, platform: &P) -> Result<usize, PlatformError> {
        let taken = store::migrations::up(platform).await?;
        let updated = upgrade::guardrails(platform).await?;
        if updated > 0 {
            tracing::info!(updated, "organisations got the guardrails of this version");
        }
        Ok(taken)
    }

    /// Whether there is any organisation: whoever starts the first one wants to be told how to sign in.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_organisations<P: Platform>(&self, platform: &P) -> Result<bool, PlatformError> {
        store::admin::any_org(platform).await
    }

    /// Takes migrations back until only `version` of them are left.
    ///
    /// # Errors
    /// The database failed.
    pub async fn migrate_down<P: Platform>(
        &self,
        platform: &P,
        version: i64,
    ) -> Result<usize, PlatformError> {
        store::migrations::down(platform, version).await
    }

    /// Scheduled work, once a minute: closes intents that never ended, and forgets arguments that nobody will approve any more.
    /// Answers how many intents those were.
    ///
    /// # Errors
    /// The database failed; the next tick tries again.
    pub async fn tick<P: Platform>(&self, platform: &P) -> Result<usize, PlatformError> {
        let unknown = audit::reaper::reap(platform).await?;
        store::approvals::forget(platform).await?;
        store::sessions::forget(platform).await?;
        store::authorizations::forget(platform).await?;
        store::idempotency::forget(platform).await?;
        store::tickets::forget(platform).await?;
        broker::tick(self, platform).await?;
        Ok(unknown)
    }
}
