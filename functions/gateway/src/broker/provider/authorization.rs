//! Where a browser goes that leaves for a provider, and what has to be known when it comes back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl};
use url::Url;

use super::profile::{Pkce, Way};
use super::{Provider, ProviderError};
use crate::egress;
use crate::platform::Platform;
use crate::settings::Settings;

/// What a browser left with. No `Debug`: it holds secrets. Everything that the way back depends on is fixed here, so that nothing that
/// comes back, and no change meanwhile, can lead the code elsewhere.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Departure {
    /// Of PKCE (RFC 7636 §4.1); nothing where that is not used.
    pub(crate) verifier: Option<String>,
    /// That the ID token has to name.
    pub(crate) nonce: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) promises_iss: bool,
    pub(crate) token_endpoint: String,
    pub(crate) client_id: String,
    /// The scopes that were asked for.
    pub(crate) asked: BTreeSet<String>,
}

/// 32 random bytes, in base64url.
pub(crate) fn random(platform: &impl Platform) -> String {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Departure {
    /// A new one, for a provider as it is now.
    pub(crate) fn new(platform: &impl Platform, provider: &Provider, needed: &BTreeSet<String>) -> Self {
        let asked: BTreeSet<String> = provider.scopes.union(needed).cloned().collect();
        let pkce = provider.profile.pkce == Pkce::Send;
        Self {
            verifier: pkce.then(|| random(platform)),
            nonce: asked.contains("openid").then(|| random(platform)),
            issuer: provider.endpoints.issuer.clone(),
            promises_iss: provider.endpoints.promises_iss,
            token_endpoint: provider.endpoints.token.clone(),
            client_id: provider.client.id.clone(),
            asked,
        }
    }

    /// Where the browser goes (RFC 6749 §4.1.1).
    ///
    /// # Errors
    /// The provider has no such place.
    pub(crate) fn url(
        &self,
        settings: &Settings,
        provider: &Provider,
        state: &str,
    ) -> Result<Url, ProviderError> {
        let bad = |error: url::ParseError| ProviderError::Settings(error.to_string());
        if provider.profile.way != Way::Oauth {
            return Err(ProviderError::Settings("nobody is sent there".to_owned()));
        }
        egress::public_url(settings, &provider.endpoints.authorize)?;
        egress::public_url(settings, &self.token_endpoint)?;
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::new(provider.endpoints.authorize.clone()).map_err(bad)?)
            .set_redirect_uri(RedirectUrl::new(provider.redirect_uri.clone()).map_err(bad)?);
        let mut request = client.authorize_url(|| CsrfToken::new(state.to_owned()));
        if let Some(verifier) = &self.verifier {
            let verifier = PkceCodeVerifier::new(verifier.clone());
            request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        if !self.asked.is_empty() {
            let asked: Vec<&str> = self.asked.iter().map(String::as_str).collect();
            let scopes = asked.join(provider.profile.asked_separator.as_str());
            request = request.add_extra_param(provider.profile.scope_parameter.clone(), scopes);
        }
        let ours = [("nonce", &self.nonce), ("resource", &provider.endpoints.resource)];
        for (name, value) in ours.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            request = request.add_extra_param(name, Cow::Borrowed(value.as_str()));
        }
        for (name, value) in &provider.profile.authorize_with {
            request = request.add_extra_param(name.as_str(), value.as_str());
        }
        Ok(request.url().0)
    }
}
