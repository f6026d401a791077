//! Providers: where people have accounts. What each kind does is data ([`profile`]); what an organisation said about its own is checked
//! ([`settings`]); here both become one value, with everything that is asked of a provider on it.

pub(crate) mod account;
mod answer;
pub(crate) mod authorization;
mod date;
pub(crate) mod doctor;
mod mcp;
pub(crate) mod profile;
pub(crate) mod revocation;
mod scopes;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod token;

pub(crate) use mcp::client_document;
pub(crate) use revocation::revoke;

use std::collections::BTreeSet;

use schemas::decision::OrgFacts;
use schemas::ids::ProviderId;
use schemas::names::{OrgName, ProviderName};

use self::mcp::Discovered;
use self::profile::{Discovery, Profile, Proof, Way};
use self::settings::Values;
use crate::Gateway;
use crate::egress;
use crate::identity::oidc::OidcError;
use crate::platform::{Platform, PlatformError, Statement};
use crate::secret::Secret;
use crate::store;

/// Where a provider is asked what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoints {
    pub(crate) authorize: String,
    pub(crate) token: String,
    pub(crate) revoke: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) jwks: Option<String>,
    /// Who it says it is, in `iss` and in ID tokens; with `{tenantid}` in it where tenants differ.
    pub(crate) issuer: Option<String>,
    /// Whether it promises to say so in every answer (RFC 9207 §3).
    pub(crate) promises_iss: bool,
    /// What tokens are for (RFC 8707).
    pub(crate) resource: Option<String>,
}

/// Who we are there.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// Nothing for a public client.
    pub(crate) secret: Option<Secret>,
    pub(crate) proof: Proof,
}

/// A provider of an organisation, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) id: ProviderId,
    pub(crate) org: OrgFacts,
    pub(crate) name: ProviderName,
    pub(crate) version: i64,
    pub(crate) profile: &'static Profile,
    pub(crate) values: Values,
    pub(crate) endpoints: Endpoints,
    pub(crate) client: Client,
    /// What is asked for in any case.
    pub(crate) scopes: BTreeSet<String>,
    /// Where it sends people back to: an address of its own (RFC 9700 §4.4.2.2).
    pub(crate) redirect_uri: String,
}

/// Why a provider can't be asked. For operators; people are told that it is not set up well.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ProviderError {
    /// The row is of a kind that this version does not know, or its settings do not fit it.
    #[error("its settings: {0}")]
    Settings(String),
    /// Its secret does not open.
    #[error("its client secret does not open: set it again")]
    Secret,
    /// The vault is out of reach.
    #[error("{0}")]
    Vault(&'static str),
    /// An address of it leads nowhere that we would ask.
    #[error(transparent)]
    Egress(#[from] egress::Refused),
    /// It does not say of itself what it should.
    #[error("{0}")]
    Discovery(String),
    /// The database failed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl From<OidcError> for ProviderError {
    fn from(error: OidcError) -> Self {
        Self::Discovery(error.to_string())
    }
}

/// Where a provider sends people back to.
pub(crate) fn redirect_uri(gateway: &Gateway, org: &OrgName, name: &ProviderName) -> String {
    format!("{}/connect/{org}/{name}/callback", gateway.settings.public_url)
}

impl Provider {
    /// Of a row, with what is known of it already: nothing is asked that was found before.
    ///
    /// # Errors
    /// It can't be asked as it is.
    pub(crate) async fn resolve<P: Platform>(
        gateway: &Gateway,
        platform: &P,
        row: &store::providers::Provider,
    ) -> Result<Self, ProviderError> {
        let mut provider = Self::plain(gateway, row)?;
        match provider.profile.discovery {
            None => provider.client.secret = secret::open(gateway, platform, row).await?,
            Some(Discovery::Openid) => {
                provider.client.secret = secret::open(gateway, platform, row).await?;
                provider.ask_issuer(gateway, platform).await?;
            }
            Some(Discovery::Mcp) => {
                let discovered = Discovered::read(&row.discovered).ok_or_else(|| {
                    ProviderError::Discovery("nobody has connected to it yet as it is now".to_owned())
                })?;
                discovered.apply(gateway, platform, row, &mut provider).await?;
            }
        }
        Ok(provider)
    }

    /// The same, for somebody who is about to leave for it: what it says of itself is looked at anew, and where it lets clients register
    /// themselves, we do. Answers what is to be kept of that.
    ///
    /// # Errors
    /// It can't be asked as it is.
    pub(crate) async fn prepare<P: Platform>(
        gateway: &Gateway,
        platform: &P,
        row: &store::providers::Provider,
        wanted: &BTreeSet<String>,
    ) -> Result<(Self, Option<Statement>), ProviderError> {
        if Profile::find(&row.kind).and_then(|profile| profile.discovery) != Some(Discovery::Mcp) {
            return Ok((Self::resolve(gateway, platform, row).await?, None));
        }
        let mut provider = Self::plain(gateway, row)?;
        let (discovered, new) = mcp::discover(gateway, platform, row, &provider).await?;
        discovered.apply(gateway, platform, row, &mut provider).await?;
        // What the server's challenge names; all that there is only if nobody says what is needed (MCP, "Scope Selection Strategy").
        if provider.scopes.is_empty() && wanted.is_empty() {
            provider.scopes.clone_from(&discovered.scopes);
        }
        if discovered.offline
            && let Some(offline) = &provider.profile.offline_scope
        {
            provider.scopes.insert(offline.clone());
        }
        let keep = new.then(|| store::providers::keep_discovered(&row.id, row.version, discovered.to_json()));
        Ok((provider, keep))
    }

    /// Without secrets, and without what only the provider can tell.
    pub(crate) fn plain(gateway: &Gateway, row: &store::providers::Provider) -> Result<Self, ProviderError> {
        let unknown = || ProviderError::Settings(format!("this version knows no kind `{}`", row.kind));
        let profile = Profile::find(&row.kind).ok_or_else(unknown)?;
        let values =
            Values::read(&gateway.settings, profile, &row.settings).map_err(ProviderError::Settings)?;
        let endpoint = |name| values.endpoint(profile, &row.client_id, name);
        let entered = || values.get(profile, "account").map(str::to_owned);
        let endpoints = Endpoints {
            authorize: endpoint("authorize").unwrap_or_default(),
            token: endpoint("token").unwrap_or_default(),
            revoke: endpoint("revoke"),
            account: if profile.way == Way::Oauth { endpoint("account") } else { entered() },
            jwks: endpoint("jwks"),
            issuer: endpoint("issuer"),
            promises_iss: false,
            resource: None,
        };
        let mut scopes: BTreeSet<String> = row.scopes.iter().cloned().collect();
        if scopes.is_empty() {
            scopes.extend(profile.scopes.iter().cloned());
        }
        if profile.discovery.is_none() {
            scopes.extend(profile.offline_scope.clone());
        }
        Ok(Self {
            id: row.id.clone(),
            org: row.org.clone(),
            name: row.name.clone(),
            version: row.version,
            profile,
            client: Client { id: row.client_id.clone(), secret: None, proof: profile.proof },
            redirect_uri: redirect_uri(gateway, &row.org.name, &row.name),
            endpoints,
            scopes,
            values,
        })
    }

    /// Takes over what an OpenID Connect issuer says of itself.
    async fn ask_issuer<P: Platform>(
        &mut self,
        gateway: &Gateway,
        platform: &P,
    ) -> Result<(), ProviderError> {
        let issuer = self.values.get(self.profile, "issuer").unwrap_or_default();
        let metadata = gateway.identity_providers.find(gateway, platform, issuer).await?;
        let own = std::mem::take(&mut self.endpoints);
        if let Some(revoke) = &metadata.revocation_endpoint {
            egress::public_url(&gateway.settings, revoke)?;
        }
        self.endpoints = Endpoints {
            authorize: metadata.authorization_endpoint.clone(),
            token: metadata.token_endpoint.clone(),
            revoke: metadata.revocation_endpoint.clone(),
            jwks: Some(metadata.jwks_uri.clone()),
            issuer: Some(metadata.issuer.clone()),
            promises_iss: metadata.authorization_response_iss_parameter_supported,
            ..own
        };
        if !metadata.wants_secret_in_body() {
            self.client.proof = Proof::Basic;
        }
        let offers =
            |scope: &String| metadata.scopes_supported.as_ref().is_none_or(|all| all.contains(scope));
        self.scopes.insert("openid".to_owned());
        self.scopes.extend(self.profile.offline_scope.iter().filter(|scope| offers(scope)).cloned());
        Ok(())
    }

    /// What people call it: its name, and what it is.
    pub(crate) fn title(&self) -> String {
        title(self.profile, &self.name)
    }
}

/// What people call a provider: what it is, and its name where that says something else.
pub(crate) fn title(profile: &Profile, name: &ProviderName) -> String {
    let same = profile.kind == name.as_str() || profile.title.eq_ignore_ascii_case(name.as_str());
    if same { profile.title.clone() } else { format!("{name} ({})", profile.title) }
}
