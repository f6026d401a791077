//! The gateway as the authorization server of its own management API: OAuth 2.1 for a public client (RFC 8252), with PKCE (RFC 7636) and
//! resource indicators (RFC 8707).

use bytes::Bytes;
use http::{Request, StatusCode, header};
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    TokenResponse as _, TokenUrl,
};
use serde_json::Value;
use standalone::fetch::Fetch;

use super::credentials::{Tokens, now};
use super::request::exchange;
use crate::operate::Failure;

/// What every gateway knows this program by.
const CLIENT: &str = "ambit-cli";
/// Managing: the scope of the management API.
const SCOPE: &str = "manage";
/// How long a token is taken to hold that does not say so, in seconds.
const BRIEFLY: u64 = 60;

/// Where the authorization server of a gateway does what.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Server {
    authorize: String,
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoke: Option<String>,
}

/// An authorization that a person is asked for.
pub(super) struct Pending {
    /// Where they say yes.
    pub(super) page: String,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    redirect: RedirectUrl,
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreachable(String);

impl Server {
    /// Finds it (RFC 8414).
    pub(super) async fn discover(fetch: &Fetch, url: &str) -> Result<Self, Failure> {
        let request = Request::get(format!("{url}/.well-known/oauth-authorization-server"))
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new())?;
        let (status, _, text) = exchange(fetch, request).await?;
        let said: Value = serde_json::from_slice(&text).unwrap_or_default();
        let text = |member: &str| said.get(member).and_then(Value::as_str);
        let takes_s256 = said
            .get("code_challenge_methods_supported")
            .and_then(Value::as_array)
            .is_some_and(|methods| methods.iter().any(|method| method == "S256"));
        match (text("issuer"), text("authorization_endpoint"), text("token_endpoint")) {
            (Some(issuer), Some(authorize), Some(token))
                if status == StatusCode::OK && issuer == url && takes_s256 =>
            {
                Ok(Self {
                    authorize: authorize.to_owned(),
                    token: token.to_owned(),
                    revoke: text("revocation_endpoint").map(str::to_owned),
                })
            }
            (Some(issuer), ..) if issuer != url => Err(format!(
                "the gateway at `{url}` calls itself `{issuer}`: sign in to it by that name"
            )
            .into()),
            _ => Err(format!(
                "nobody can sign in at `{url}` ({status}): is it a gateway? With a key you can: `ambit login {url} --key -`"
            )
            .into()),
        }
    }

    fn client(&self) -> Result<Client, Failure> {
        Ok(BasicClient::new(ClientId::new(CLIENT.to_owned()))
            .set_auth_uri(AuthUrl::new(self.authorize.clone())?)
            .set_token_uri(TokenUrl::new(self.token.clone())?))
    }

    /// Makes what the person is asked for.
    pub(super) fn ask(&self, url: &str, redirect: String) -> Result<Pending, Failure> {
        let client = self.client()?;
        let redirect = RedirectUrl::new(redirect)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (page, state) = client
            .authorize_url(CsrfToken::new_random)
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge)
            .add_scope(Scope::new(SCOPE.to_owned()))
            .add_extra_param("resource", resource(url))
            .url();
        Ok(Pending { page: page.to_string(), state, verifier, redirect })
    }

    /// Takes the tokens for what came back to the redirect URI.
    pub(super) async fn finish(
        &self,
        fetch: &Fetch,
        url: &str,
        pending: Pending,
        came: &[(String, String)],
    ) -> Result<Tokens, Failure> {
        let text = |name: &str| came.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if text("state") != Some(pending.state.secret()) {
            return Err("the answer is not to the question of this sign-in: try again".into());
        }
        // RFC 9207 §2.4: an answer of another server is none.
        if text("iss").is_some_and(|issuer| issuer != url) {
            return Err("the answer is of another server: try again".into());
        }
        if let Some(error) = text("error") {
            let why = text("error_description").unwrap_or(error);
            return Err(format!("you were not signed in: {why}").into());
        }
        let code = text("code").ok_or("the answer has no code: try again")?;
        let client = self.client()?;
        let asked = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_redirect_uri(std::borrow::Cow::Borrowed(&pending.redirect))
            .set_pkce_verifier(pending.verifier)
            .add_extra_param("resource", resource(url));
        let http = |request| over(fetch.clone(), request);
        let given = asked
            .request_async(&http)
            .await
            .map_err(|error| format!("you were not signed in: {}", said(&error)))?;
        Ok(self.tokens(&given, None))
    }

    fn tokens(&self, given: &BasicTokenResponse, before: Option<&str>) -> Tokens {
        let holds = given.expires_in().map_or(BRIEFLY, |holds| holds.as_secs());
        let refresh = given.refresh_token().map(|token| token.secret().as_str()).or(before);
        Tokens {
            access: given.access_token().secret().clone(),
            expires_at: now().saturating_add(holds),
            refresh: refresh.map(str::to_owned),
            server: self.clone(),
        }
    }

    /// Ends what the tokens stand for (RFC 7009).
    pub(super) async fn revoke(&self, fetch: &Fetch, tokens: &Tokens) -> Result<(), Failure> {
        let Some(revoke) = &self.revoke else { return Ok(()) };
        let token = tokens.refresh.as_deref().unwrap_or(&tokens.access);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("client_id", CLIENT)
            .finish();
        let request = Request::post(revoke)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form))?;
        match exchange(fetch, request).await? {
            (StatusCode::OK, ..) => Ok(()),
            (status, ..) => Err(format!("the gateway did not end what it gave ({status})").into()),
        }
    }
}

/// New tokens for old ones.
pub(super) async fn renew(fetch: &Fetch, url: &str, tokens: &Tokens) -> Result<Tokens, Failure> {
    let over_now = || format!("you are no longer signed in to `{url}`: run `ambit login {url}`");
    let before = tokens.refresh.clone().ok_or_else(over_now)?;
    let (client, refresh) = (tokens.server.client()?, RefreshToken::new(before.clone()));
    let asked = client.exchange_refresh_token(&refresh).add_extra_param("resource", resource(url));
    let http = |request| over(fetch.clone(), request);
    match asked.request_async(&http).await {
        Ok(given) => Ok(tokens.server.tokens(&given, Some(&before))),
        Err(RequestTokenError::ServerResponse(answer))
            if *answer.error() == BasicErrorResponseType::InvalidGrant =>
        {
            Err(over_now().into())
        }
        Err(error) => Err(format!("your sign-in can't be renewed: {}", said(&error)).into()),
    }
}

/// The identifier of the management API.
fn resource(url: &str) -> String {
    format!("{url}/api/v1")
}

async fn over(fetch: Fetch, request: HttpRequest) -> Result<HttpResponse, Unreachable> {
    let (status, _, body) =
        exchange(&fetch, request.map(Bytes::from)).await.map_err(|error| Unreachable(error.to_string()))?;
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status;
    // The crate reads no other form than JSON.
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn said(error: &RequestTokenError<Unreachable, BasicErrorResponse>) -> String {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let why = answer.error_description().cloned();
            why.unwrap_or_else(|| answer.error().to_string())
        }
        RequestTokenError::Request(error) => error.to_string(),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            "the gateway's answer is not what RFC 6749 has".to_owned()
        }
    }
}
