//! The token endpoint (RFC 6749 §3.2): a code for a credential, and a credential for its successor.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, PkceCodeVerifier,
    RedirectUrl, RefreshToken, RequestTokenError, TokenResponse as _, TokenUrl,
};
use schemas::ids::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use super::answer::Answer;
use super::authorization::Departure;
use super::date::http_date;
use super::profile::{Proof, TokenBody};
use super::{Provider, scopes};
use crate::Gateway;
use crate::broker::Credential;
use crate::egress;
use crate::platform::{Platform, PlatformError};
use crate::secret::Secret;

/// No answer is larger, in bytes.
const LARGEST: usize = 256 * 1024;
/// Of a credential: where its tokens came from. They are never sent elsewhere.
const TOKEN_ENDPOINT: &str = "token_endpoint";
/// Of a credential of a provider that says who it is: who that was.
const ISSUER: &str = "issuer";

/// Words of providers by which a grant is over; the person has to connect again. First those of RFC 6749 §5.2 and OpenID Connect Core
/// §3.1.2.6, then GitHub's and Slack's own.
const ENDED: [&str; 13] = [
    "invalid_grant",
    "interaction_required",
    "login_required",
    "consent_required",
    "bad_refresh_token",
    "bad_verification_code",
    "invalid_refresh_token",
    "token_revoked",
    "token_expired",
    "invalid_code",
    "code_already_used",
    "account_inactive",
    "invalid_auth",
];
/// Words by which nothing is over.
const LATER: [&str; 6] = [
    "temporarily_unavailable",
    "server_error",
    "slow_down",
    "ratelimited",
    "internal_error",
    "service_unavailable",
];

/// Why there is no credential. The texts hold nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// The grant is over: only the person can make another.
    #[error("{0}")]
    Ended(String),
    /// The provider does not take us for its client: only the operator can mend that.
    #[error("{0}")]
    Ours(String),
    /// It may go better later.
    #[error("{reason}")]
    Later {
        /// Why it did not now.
        reason: String,
        /// How long the provider wants to be left alone, if it said so.
        after: Option<Duration>,
    },
}

impl TokenError {
    fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), after: None }
    }
}

/// What a code was redeemed for.
#[derive(Debug)]
pub(crate) struct Redeemed {
    pub(crate) credential: Credential,
    pub(crate) id_token: Option<Secret>,
    /// What else the answer said, without tokens.
    pub(crate) said: Map<String, Value>,
}

type TokenClient = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// One request to the token endpoint.
struct Exchange<'a> {
    provider: &'a Provider,
    client: TokenClient,
    endpoint: &'a str,
    /// When it began: lifetimes count from then, so that we never think a token alive that isn't.
    began: Timestamp,
    heard: RefCell<Option<Heard>>,
}

/// What was answered.
struct Heard {
    answer: Answer,
    date: Option<Timestamp>,
    retry_after: Option<Duration>,
}

impl<'a> Exchange<'a> {
    fn new(
        platform: &impl Platform,
        provider: &'a Provider,
        client_id: &str,
        endpoint: &'a str,
    ) -> Result<Self, TokenError> {
        let bad = |_| TokenError::Ours("its token endpoint is no URL".to_owned());
        let proof = match (&provider.client.secret, provider.client.proof) {
            (Some(_), Proof::Basic) => AuthType::BasicAuth,
            (Some(_), Proof::Post) | (None, _) => AuthType::RequestBody,
        };
        let mut client = BasicClient::new(ClientId::new(client_id.to_owned()))
            .set_token_uri(TokenUrl::new(endpoint.to_owned()).map_err(bad)?)
            .set_redirect_uri(RedirectUrl::new(provider.redirect_uri.clone()).map_err(bad)?)
            .set_auth_type(proof);
        if let Some(secret) = &provider.client.secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        Ok(Self { provider, client, endpoint, began: platform.now(), heard: RefCell::default() })
    }

    /// Sends a request as the provider reads it, and hands its answer on as the RFC has it.
    async fn send<P: Platform>(
        &self,
        gateway: &Gateway,
        platform: &P,
        request: oauth2::HttpRequest,
    ) -> Result<oauth2::HttpResponse, PlatformError> {
        let (mut head, mut body) = request.into_parts();
        if self.provider.profile.token_body == TokenBody::Json {
            let pairs = url::form_urlencoded::parse(&body).into_owned();
            let members: BTreeMap<String, String> = pairs.collect();
            body = serde_json::to_vec(&members).unwrap_or_default();
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        head.headers.insert(header::USER_AGENT, HeaderValue::from_static("Ambit"));
        let request = http::Request::from_parts(head, Bytes::from(body));
        let answered = egress::ask(platform, egress::guarded(&gateway.settings, request), LARGEST).await?;
        let (status, headers) = (answered.status(), answered.headers());
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let answer = Answer::read(self.provider.profile, status, headers, answered.body());
        let handed_on = answer.to_http();
        let retry_after = text(header::RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        self.heard.replace(Some(Heard {
            answer,
            date: text(header::DATE).and_then(http_date),
            retry_after: retry_after.map(Duration::from_secs),
        }));
        Ok(handed_on)
    }

    /// What became of it: the token, and everything that was answered.
    fn heard(
        &self,
        result: Result<BasicTokenResponse, RequestTokenError<PlatformError, BasicErrorResponse>>,
    ) -> Result<(BasicTokenResponse, Heard), TokenError> {
        match (result, self.heard.take()) {
            (Ok(token), Some(heard)) => Ok((token, heard)),
            (Err(RequestTokenError::Request(error)), _) => Err(TokenError::later(error.told())),
            (_, Some(heard)) => Err(refusal(&heard)),
            (_, None) => Err(TokenError::later("it was not asked")),
        }
    }

    /// The credential in an answer, as the successor of the one before, if there was one.
    fn credential(
        &self,
        (token, heard): (&BasicTokenResponse, &Heard),
        asked: &BTreeSet<String>,
        before: Option<&Credential>,
    ) -> Result<Credential, TokenError> {
        let profile = self.provider.profile;
        let refresh = token.refresh_token().map(|refresh| Secret::new(refresh.secret().clone()));
        // What is not said stays as it was (RFC 6749 §6).
        let refresh = refresh.or_else(|| before.and_then(|before| before.refresh.clone()));
        let unstated = profile.unstated_seconds.filter(|_| refresh.is_some()).map(Duration::from_secs);
        let lives = token.expires_in().or(unstated);
        let expires_at = lives.map(|lives| self.began.plus(millis(lives))).or_else(|| self.absolute(heard));
        let mut fields = before.map(|before| before.fields.clone()).unwrap_or_default();
        for (name, place) in &profile.keep {
            if let Some(value) = text_at(&heard.answer.members, place) {
                self.check_host(name, &value)?;
                fields.insert(name.clone(), value);
            }
        }
        fields.insert(TOKEN_ENDPOINT.to_owned(), self.endpoint.to_owned());
        if let Some(issuer) = self.provider.profile.discovery.and(self.provider.endpoints.issuer.clone()) {
            fields.insert(ISSUER.to_owned(), issuer);
        }
        Ok(Credential {
            access: Secret::new(token.access_token().secret().clone()),
            refresh,
            issued_at: self.began,
            expires_at,
            scopes: scopes::granted(profile, asked, heard.answer.text("scope")),
            fields,
        })
    }

    /// The end of a token of which the provider names the time, by its own clock.
    fn absolute(&self, heard: &Heard) -> Option<Timestamp> {
        let said = heard.answer.members.get("expires_at").and_then(Value::as_i64).filter(|at| *at > 0)?;
        let skew = heard.date.map_or(0, |date| date.0.saturating_sub(self.began.0));
        Some(Timestamp(said.saturating_mul(1000)).plus(skew.saturating_neg()))
    }

    /// An address in an answer has to be in a domain of the provider: the token will be sent there.
    fn check_host(&self, name: &str, value: &str) -> Result<(), TokenError> {
        let Some(domains) = self.provider.profile.hosts.get(name) else { return Ok(()) };
        let host_of = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let fits = host_of(value).is_some_and(|host| {
            let within = |domain: &String| host == *domain || host.ends_with(&format!(".{domain}"));
            value.starts_with("https://")
                && (domains.iter().any(within) || host_of(self.endpoint) == Some(host.clone()))
        });
        if fits {
            return Ok(());
        }
        Err(TokenError::Ours(format!("its answer names a `{name}` outside of its domains")))
    }
}

/// Redeems a code, at the token endpoint that the browser left for.
///
/// # Errors
/// There is no credential; the error says whose move it is.
pub(crate) async fn redeem<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    departure: &Departure,
    code: &str,
) -> Result<Redeemed, TokenError> {
    let exchange = Exchange::new(platform, provider, &departure.client_id, &departure.token_endpoint)?;
    let mut request = exchange.client.exchange_code(AuthorizationCode::new(code.to_owned()));
    if let Some(verifier) = &departure.verifier {
        request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.clone()));
    }
    if let Some(resource) = &provider.endpoints.resource {
        request = request.add_extra_param("resource", resource.clone());
    }
    let send = |request| exchange.send(gateway, platform, request);
    let (token, heard) = exchange.heard(request.request_async(&send).await)?;
    let credential = exchange.credential((&token, &heard), &departure.asked, None)?;
    let id_token = heard.answer.text("id_token").map(|text| Secret::new(text.to_owned()));
    let mut said = heard.answer.members;
    said.retain(|name, _| !["access_token", "refresh_token", "id_token"].contains(&name.as_str()));
    Ok(Redeemed { credential, id_token, said })
}

/// Gets the successor of a credential with its refresh token. The caller holds the lease, and stores the answer before anything else.
///
/// # Errors
/// There is none; the error says whose move it is.
pub(crate) async fn refresh<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    before: &Credential,
) -> Result<Credential, TokenError> {
    let ended = |why: &str| TokenError::Ended(why.to_owned());
    let token = before.refresh.as_ref().ok_or_else(|| ended("it gave nothing to renew the access with"))?;
    let origin = |url: &str| Url::parse(url).map(|url| url.origin().ascii_serialization()).ok();
    let moved =
        before.fields.get(TOKEN_ENDPOINT).is_some_and(|at| origin(at) != origin(&provider.endpoints.token));
    let another =
        before.fields.get(ISSUER).is_some_and(|issuer| provider.endpoints.issuer.as_ref() != Some(issuer));
    if moved || another {
        return Err(ended("the provider is at another place now"));
    }
    let exchange = Exchange::new(platform, provider, &provider.client.id, &provider.endpoints.token)?;
    let token = RefreshToken::new(token.expose().to_owned());
    let mut request = exchange.client.exchange_refresh_token(&token);
    if let Some(resource) = &provider.endpoints.resource {
        request = request.add_extra_param("resource", resource.clone());
    }
    let send = |request| exchange.send(gateway, platform, request);
    let (token, heard) = exchange.heard(request.request_async(&send).await)?;
    exchange.credential((&token, &heard), &before.scopes, Some(before))
}

/// Whose move it is after a refusal.
fn refusal(heard: &Heard) -> TokenError {
    let Heard { answer, retry_after, .. } = heard;
    let status = answer.status;
    let word: String =
        answer.text("error").unwrap_or_default().chars().filter(|c| is_of_word(*c)).take(60).collect();
    let told = if word.is_empty() {
        format!("it answered with status {}", status.as_u16())
    } else {
        format!("it refused: `{word}`")
    };
    let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    if busy || status.is_server_error() || LATER.contains(&word.as_str()) {
        return TokenError::Later { reason: told, after: *retry_after };
    }
    // Atlassian's way of saying `invalid_grant`.
    let of_the_grant = word == "unauthorized_client"
        && answer.text("error_description").is_some_and(|why| why.contains("refresh_token"));
    if ENDED.contains(&word.as_str()) || of_the_grant {
        return TokenError::Ended(told);
    }
    if status.is_success() {
        // It said nothing that makes sense; perhaps it is being repaired.
        return TokenError::later("its answer is no token");
    }
    TokenError::Ours(told)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Text or a number at a place in an answer.
pub(super) fn text_at(members: &Map<String, Value>, place: &str) -> Option<String> {
    let (first, rest) = place
        .strip_prefix('/')?
        .split_once('/')
        .map_or((place.strip_prefix('/')?, None), |(first, rest)| (first, Some(rest)));
    let value = members.get(first)?;
    let value = match rest {
        Some(rest) => value.pointer(&format!("/{rest}"))?,
        None => value,
    };
    text_of(value)
}

/// Text, or a number as text.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_move_it_is() {
        let refused = |kind: &str, status: u16, body: &str| {
            let profile = super::super::profile::Profile::find(kind).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::read(profile, status, &http::HeaderMap::new(), body.as_bytes());
            refusal(&Heard { answer, date: None, retry_after: Some(Duration::from_secs(7)) })
        };
        let is_ended = |error| matches!(error, TokenError::Ended(_));
        let is_ours = |error| matches!(error, TokenError::Ours(_));
        let is_later = |error| matches!(error, TokenError::Later { .. });
        assert!(is_ended(refused("gitlab", 400, r#"{"error":"invalid_grant"}"#)));
        assert!(is_ended(refused("github", 200, r#"{"error":"bad_refresh_token"}"#)));
        assert!(is_ended(refused("slack", 200, r#"{"ok":false,"error":"token_revoked"}"#)));
        let dead = r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#;
        assert!(is_ended(refused("atlassian", 403, dead)));
        assert!(is_ours(refused("gitlab", 401, r#"{"error":"invalid_client"}"#)));
        assert!(is_ours(refused("github", 200, r#"{"error":"incorrect_client_credentials"}"#)));
        assert!(is_ours(refused("gitlab", 401, "")), "nobody's grant is ended by a riddle");
        assert!(is_ours(refused("gitlab", 404, "<html>")));
        assert!(is_later(refused("gitlab", 503, "")));
        assert!(is_later(refused("gitlab", 200, "<html>")));
        assert!(is_later(refused("slack", 200, r#"{"ok":false,"error":"ratelimited"}"#)));
        assert_eq!(
            refused("gitlab", 429, ""),
            TokenError::Later {
                reason: "it answered with status 429".into(),
                after: Some(Duration::from_secs(7))
            }
        );
        // What it says is no place for prose of strangers.
        let told = refused("gitlab", 400, r#"{"error":"<script>alert(1)</script>"}"#).to_string();
        assert_eq!(told, "it refused: `scriptalert1script`");
    }
}
