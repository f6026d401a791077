//! `/authorize`: a client sends a person's browser here to ask for a code (OAuth 2.1 §4.1.1). Until its id and redirect URI hold,
//! errors stay on a page of ours; from then on they go back to the client, always with `iss` (RFC 9207) and its `state`.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use url::Url;

use super::consent;
use super::error::{OAuthError, described};
use super::parameters::{Parameters, of_form};
use super::scopes;
use super::target::Target;
use crate::Gateway;
use crate::body::Body;
use crate::clients::{self, Client, redirect_matches};
use crate::platform::Platform;
use crate::routes::page::{message, see_other};

/// The longest request that is carried through a sign-in, in bytes.
const LONGEST: usize = 8 * 1024;

/// What a client asks for, checked.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Asked {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    /// S256 of the client's verifier (RFC 7636 §4.2).
    pub(super) challenge: String,
    pub(super) scopes: Vec<String>,
    /// The resource that it named, if it did: clients of 2025-03-26 don't.
    pub(super) resource: Option<String>,
    /// The person is to be asked again, whatever they said before.
    pub(super) ask_again: bool,
    /// No page may be shown.
    pub(super) silent: bool,
}

impl Asked {
    /// Back to the client.
    pub(super) fn back<S>(&self, gateway: &Gateway, members: &[(&str, &str)]) -> Response<Body<S>> {
        let Ok(mut url) = Url::parse(&self.redirect_uri) else {
            return unanswerable("Its address is no URL.");
        };
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(members);
            if let Some(state) = &self.state {
                query.append_pair("state", state);
            }
            query.append_pair("iss", &gateway.settings.public_url);
        }
        see_other(url.as_str())
    }

    /// Back to the client, with an error.
    pub(super) fn fail<S>(&self, gateway: &Gateway, error: &OAuthError) -> Response<Body<S>> {
        self.back(gateway, &[("error", error.code), ("error_description", &described(&error.why))])
    }
}

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
) -> Response<Body<P::Stream>> {
    if request.method() == Method::POST {
        return match of_form(request) {
            Ok(form) => consent::answered(gateway, platform, request.headers(), &form).await,
            Err(error) => unanswerable(&error.why),
        };
    }
    let query = request.uri().query().unwrap_or_default();
    if query.len() > LONGEST {
        return unanswerable("The request is longer than a browser would carry it.");
    }
    let parameters = match Parameters::read(query.as_bytes()) {
        Ok(parameters) => parameters,
        Err(error) => return unanswerable(&error.why),
    };
    let (client, redirect_uri) = match who(gateway, platform, &parameters).await {
        Ok(found) => found,
        Err(why) => return unanswerable(&why),
    };
    let asked = match read(gateway, &client, redirect_uri, &parameters) {
        Ok(asked) => asked,
        Err(failed) => return failed.0.fail(gateway, &failed.1),
    };
    consent::ask(gateway, platform, request, &client, asked).await
}

/// Who asks, and where the answer goes. Without both there is nobody to answer.
async fn who<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    parameters: &Parameters,
) -> Result<(Client, String), String> {
    let id = parameters
        .get("client_id")
        .ok_or("The program that sent you here did not say which it is (`client_id`).")?;
    let client = clients::find(gateway, platform, id).await.map_err(|error| OAuthError::from(error).why)?;
    let registered = &client.metadata.redirect_uris;
    let uri = match (parameters.get("redirect_uri"), registered.as_slice()) {
        (Some(uri), _) if registered.iter().any(|one| redirect_matches(one, uri)) => uri.to_owned(),
        (Some(_), _) => {
            return Err(format!(
                "{} wants its answer at an address that it has not registered (`redirect_uri`).",
                client.title()
            ));
        }
        (None, [only]) => only.clone(),
        (None, _) => return Err("The program did not say where its answer goes (`redirect_uri`).".to_owned()),
    };
    Ok((client, uri))
}

/// Reads the rest. An error comes with what is needed to answer it.
fn read(
    gateway: &Gateway,
    client: &Client,
    redirect_uri: String,
    parameters: &Parameters,
) -> Result<Asked, Box<(Asked, OAuthError)>> {
    let text = |name| parameters.get(name).map(str::to_owned);
    let prompts = |word: &str| parameters.get("prompt").unwrap_or_default().split(' ').any(|one| one == word);
    let mut asked = Asked {
        client: client.id.clone(),
        redirect_uri,
        state: text("state"),
        challenge: text("code_challenge").unwrap_or_default(),
        scopes: Vec::new(),
        resource: text("resource"),
        ask_again: prompts("consent"),
        silent: prompts("none"),
    };
    let checked = (|| {
        if parameters.must("response_type")? != "code" {
            return Err(OAuthError::new("unsupported_response_type", "`response_type` must be `code`"));
        }
        if !client.metadata.uses("authorization_code") {
            return Err(OAuthError::new("unauthorized_client", "this client did not register for codes"));
        }
        if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(OAuthError::invalid_request("`response_mode` must be `query`"));
        }
        if parameters.get("request").is_some() || parameters.get("request_uri").is_some() {
            return Err(OAuthError::new("request_not_supported", "send the parameters themselves"));
        }
        let method = parameters.get("code_challenge_method");
        // S256 has 43 characters of base64url (RFC 7636 §4.2); without a method it would be `plain` (§4.3).
        let is_challenge = asked.challenge.len() == 43
            && asked.challenge.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'));
        if method != Some("S256") || !is_challenge {
            return Err(OAuthError::invalid_request(
                "PKCE is needed: a `code_challenge` with `code_challenge_method=S256`",
            ));
        }
        asked.resource.as_deref().map(|resource| Target::read(gateway, resource)).transpose()
    })();
    match checked {
        Ok(target) => {
            let managing = target == Some(Target::Management);
            asked.scopes = scopes::granted(parameters.get("scope").unwrap_or_default(), managing);
            Ok(asked)
        }
        Err(error) => Err(Box::new((asked, error))),
    }
}

/// What the person sees if nobody can be answered.
pub(super) fn unanswerable<S>(why: &str) -> Response<Body<S>> {
    let text = format!("{why} Nothing was let in. Go back to the program, and start from there.");
    message(StatusCode::BAD_REQUEST, "This request can't be answered", &text)
}
