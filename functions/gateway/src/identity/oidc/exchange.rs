//! The two messages of the flow that we write: where the browser goes, and the code for an ID token.

use std::borrow::Cow;

use bytes::Bytes;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenUrl,
};
use url::Url;

use super::{Claims, Flow, Metadata, OidcError, Returned, id_token};
use crate::Gateway;
use crate::egress;
use crate::platform::{Platform, PlatformError};
use crate::secret::Secret;

/// No token response is larger, in bytes.
const LARGEST: usize = 256 * 1024;

/// What comes with an access token: here, all that we want of it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<WithIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Who we are at a provider, and where it sends people back to.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) scopes: &'a str,
    /// One for each provider, so that no other can send anybody there (RFC 9700 §4.4.2).
    pub(crate) redirect_uri: String,
}

impl Place<'_> {
    fn client(&self) -> Result<Client, OidcError> {
        let bad = |_| OidcError::Provider("one of its endpoints is no URL".to_owned());
        let in_body = self.metadata.wants_secret_in_body() || self.client_secret.is_none();
        let mut client = oauth2::Client::new(ClientId::new(self.client_id.to_owned()))
            .set_auth_uri(AuthUrl::new(self.metadata.authorization_endpoint.clone()).map_err(bad)?)
            .set_token_uri(TokenUrl::new(self.metadata.token_endpoint.clone()).map_err(bad)?)
            .set_redirect_uri(RedirectUrl::new(self.redirect_uri.clone()).map_err(bad)?)
            .set_auth_type(if in_body { AuthType::RequestBody } else { AuthType::BasicAuth });
        if let Some(secret) = &self.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        Ok(client)
    }

    /// Where the browser goes.
    ///
    /// # Errors
    /// The provider has no such place.
    pub(crate) fn authorization_url(&self, flow: &Flow) -> Result<Url, OidcError> {
        let client = self.client()?;
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let (url, _) = client
            .authorize_url(|| CsrfToken::new(flow.state.clone()))
            .add_scopes(self.scopes.split_whitespace().map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_extra_param("nonce", Cow::Borrowed(flow.nonce.as_str()))
            .url();
        Ok(url)
    }
}

/// Redeems what a browser came back with, and answers who it is.
///
/// # Errors
/// The provider refuses, or what it sends is not good.
pub(crate) async fn exchange<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    place: &Place<'_>,
    flow: &Flow,
    returned: &Returned,
) -> Result<Claims, OidcError> {
    let code = returned.code(place.metadata)?;
    let client = place.client()?;
    let send = |request: oauth2::HttpRequest| async move {
        let request = egress::guarded(&gateway.settings, request.map(Bytes::from));
        let answer = egress::ask(platform, request, LARGEST).await?;
        Ok::<_, PlatformError>(answer.map(Vec::from))
    };
    let answered = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()))
        .request_async(&send)
        .await
        .map_err(|error| {
            tracing::warn!(issuer = %flow.issuer, "an identity provider gave no token: {}", told(&error));
            OidcError::Provider(told(&error))
        })?;
    let Some(token) = &answered.extra_fields().id_token else {
        return Err(OidcError::Token("there is none: is `openid` among the scopes?".to_owned()));
    };
    let payload = id_token::open(gateway, platform, token, &place.metadata.jwks_uri).await?;
    Claims::check(&payload, &place.metadata.issuer, place.client_id, &flow.nonce, platform.now())
}

/// Why it gave none, in words that hold nothing secret.
fn told(error: &oauth2::RequestTokenError<PlatformError, BasicErrorResponse>) -> String {
    use oauth2::RequestTokenError;
    match error {
        RequestTokenError::ServerResponse(refusal) => {
            let word = refusal.error().to_string();
            let word: String =
                word.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(60).collect();
            format!("it refused the code: `{word}`")
        }
        RequestTokenError::Request(error) => error.told().to_owned(),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => "its answer is no token".to_owned(),
    }
}
