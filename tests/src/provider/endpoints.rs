//! The provider's endpoints.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::Digest as _;

use super::grants::{Code, Issued};
use super::{API_KEY, CLIENT, Conduct, Fault, PASSWORD, Pkce, Proof, Provider, SECRET, about};

type Asked = BTreeMap<String, String>;

pub(super) fn router(provider: Provider) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/.well-known/oauth-authorization-server", get(configuration))
        .route("/.well-known/oauth-protected-resource/mcp", get(protected_resource))
        .route("/mcp", any(mcp))
        .route("/jwks", get(jwks))
        .route("/authorize", get(authorize))
        .route("/register", post(register))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/applications/{client}/grant", delete(revoke_grant))
        .route("/account", any(account))
        .route("/sites", get(sites))
        .with_state(provider)
}

fn json_answer(status: StatusCode, value: Value) -> Response {
    (status, axum::Json(value)).into_response()
}

async fn configuration(State(provider): State<Provider>) -> Response {
    provider.count("configuration");
    let (conduct, url) = (provider.conduct(), provider.url());
    let methods = match conduct.proof {
        Proof::Post => json!(["client_secret_post"]),
        Proof::Basic => json!(["client_secret_basic"]),
        Proof::Public => json!(["none", "client_secret_basic"]),
    };
    let mut metadata = json!({
        "issuer": conduct.issuer, "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"), "revocation_endpoint": format!("{url}/revoke"),
        "jwks_uri": format!("{url}/jwks"), "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": methods,
        "authorization_response_iss_parameter_supported": conduct.promises_iss,
        "client_id_metadata_document_supported": conduct.documents,
    });
    if conduct.pkce != Pkce::Refused {
        metadata["code_challenge_methods_supported"] = json!(["S256"]);
    }
    if conduct.registers {
        metadata["registration_endpoint"] = json!(format!("{url}/register"));
    }
    json_answer(StatusCode::OK, metadata)
}

async fn protected_resource(State(provider): State<Provider>) -> Response {
    provider.count("resource");
    let url = provider.url();
    json_answer(
        StatusCode::OK,
        json!({
            "resource": format!("{url}/mcp"), "authorization_servers": [url],
            "scopes_supported": ["notes:read", "notes:write"],
        }),
    )
}

/// An MCP server that wants to know who asks, before it says anything.
async fn mcp(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    provider.count("mcp");
    let shown = bearer(&headers).unwrap_or_default();
    let subject = provider.0.grants.lock().unwrap().subject(&shown, provider.now());
    if let Some(subject) = subject {
        return json_answer(
            StatusCode::OK,
            served(&serde_json::from_slice(&body).unwrap_or_default(), &subject),
        );
    }
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", provider.url());
    let scope = provider.conduct().challenge.map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
    let challenge = format!("Bearer resource_metadata=\"{metadata}\"{scope}");
    (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
}

/// What it says to those it knows.
fn served(message: &Value, subject: &str) -> Value {
    let mut result = match message["method"].as_str() {
        Some("server/discover") => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } })
        }
        Some("tools/list") => json!({ "tools": [{ "name": "whoami", "inputSchema": { "type": "object" } }] }),
        _ => json!({ "content": [{ "type": "text", "text": subject }] }),
    };
    result["resultType"] = json!("complete");
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

async fn jwks(State(provider): State<Provider>) -> Response {
    provider.count("jwks");
    json_answer(StatusCode::OK, json!({ "keys": [provider.0.key.public()] }))
}

/// Everybody is signed in at once, agrees, and is sent back.
async fn authorize(State(provider): State<Provider>, Query(query): Query<Asked>) -> Response {
    provider.count("authorize");
    provider.note("authorize", &query);
    let conduct = provider.conduct();
    if !query.contains_key("client_id") {
        return (StatusCode::BAD_REQUEST, "who asks?").into_response();
    }
    assert_eq!(query["response_type"], "code");
    assert!(query["state"].len() >= 43, "{query:?}");
    let client = &query["client_id"];
    let registered = provider.0.clients.lock().unwrap().contains_key(client);
    assert!(client == CLIENT || registered || conduct.documents, "who is `{client}`?");
    let mut back = url::Url::parse(&query["redirect_uri"]).unwrap();
    let challenged = query.get("code_challenge_method").is_some_and(|method| method == "S256");
    let refused = match conduct.pkce {
        Pkce::Required => !challenged,
        Pkce::Optional => false,
        Pkce::Refused => query.contains_key("code_challenge"),
    };
    if let Some(error) = conduct.error.or(refused.then_some("invalid_request")) {
        back.query_pairs_mut().append_pair("error", error).append_pair("error_description", "<b>words</b>");
    } else {
        let asked = query.get(conduct.scope_parameter).map(String::as_str).unwrap_or_default();
        let asked = asked.split(conduct.asked_separator).filter(|scope| !scope.is_empty());
        let scopes = match &conduct.grants {
            Some(scopes) => scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            None => asked.map(str::to_owned).collect(),
        };
        let code = Code::new(&query, scopes, (client, &conduct.subject));
        let code = provider.0.grants.lock().unwrap().code(code);
        back.query_pairs_mut().append_pair("code", &code);
    }
    back.query_pairs_mut().append_pair("state", &query["state"]);
    if let Some(iss) = &conduct.iss {
        back.query_pairs_mut().append_pair("iss", iss);
    }
    (StatusCode::FOUND, [("location", back.to_string())]).into_response()
}

/// Dynamic Client Registration (RFC 7591).
async fn register(State(provider): State<Provider>, axum::Json(asked): axum::Json<Value>) -> Response {
    provider.count("register");
    let id = format!("registered-{}", provider.0.clients.lock().unwrap().len());
    let secret = (asked["token_endpoint_auth_method"] != "none").then(|| "canary-registered".to_owned());
    provider.0.clients.lock().unwrap().insert(id.clone(), secret.clone());
    let mut made = asked;
    made["client_id"] = json!(id);
    if let Some(secret) = secret {
        made["client_secret"] = json!(secret);
    }
    json_answer(StatusCode::CREATED, made)
}

/// The members of a body, as the provider takes it.
fn read(headers: &HeaderMap, body: &Bytes) -> Option<(Asked, bool)> {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        let members: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return Some((members.iter().map(|(name, value)| (name.clone(), text(value))).collect(), true));
    }
    Some((url::form_urlencoded::parse(body).into_owned().collect(), false))
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let shown = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(shown).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Who the client is, if it proves that in the way that it should.
fn client(provider: &Provider, conduct: &Conduct, headers: &HeaderMap, asked: &Asked) -> Option<String> {
    let decoded = |text: &str| {
        let pair = format!("x={text}");
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap()
    };
    let shown = basic(headers).map(|(id, secret)| (decoded(&id), Some(decoded(&secret)), Proof::Basic));
    let (id, secret, proof) = shown.or_else(|| {
        let id = asked.get("client_id")?.clone();
        let secret = asked.get("client_secret").cloned();
        let proof = if secret.is_some() { Proof::Post } else { Proof::Public };
        Some((id, secret, proof))
    })?;
    let known = provider.0.clients.lock().unwrap().get(&id).cloned();
    let expected = match known {
        Some(secret) => secret,
        None if id == CLIENT => (conduct.proof != Proof::Public).then(|| SECRET.to_owned()),
        None if conduct.documents && id.starts_with("https://") => None,
        None => return None,
    };
    let as_it_should = expected.is_none() || proof == conduct.proof || conduct.proof == Proof::Public;
    (secret == expected && as_it_should).then_some(id)
}

async fn token(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    provider.count("token");
    let conduct = provider.conduct();
    let (asked, json) = read(&headers, &body).unwrap_or_default();
    provider.note("token", &asked);
    match conduct.fault {
        Some(Fault::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::TooMany(after)) => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", after.to_string())]).into_response();
        }
        Some(Fault::Garbage) => return (StatusCode::OK, "<html>maintenance</html>").into_response(),
        Some(Fault::Error(error)) => return refuse(&conduct, error),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::Lost) | None => {}
    }
    if json != conduct.json_requests {
        return refuse(&conduct, "invalid_request");
    }
    let Some(client) = client(&provider, &conduct, &headers, &asked) else {
        return refuse(&conduct, "invalid_client");
    };
    let done = match asked.get("grant_type").map(String::as_str) {
        Some("authorization_code") => redeem(&provider, &conduct, &client, &asked),
        Some("refresh_token") => {
            let token = asked.get("refresh_token").map(String::as_str).unwrap_or_default();
            let issued = provider.0.grants.lock().unwrap().refresh(token, &conduct, provider.now());
            issued.map(|issued| (issued, None)).ok_or("invalid_grant")
        }
        _ => Err("unsupported_grant_type"),
    };
    match done {
        Ok(_) if conduct.fault == Some(Fault::Lost) => StatusCode::BAD_GATEWAY.into_response(),
        Ok((issued, id_token)) => answer(&conduct, &issued, id_token),
        Err(error) => refuse(&conduct, error),
    }
}

fn redeem(
    provider: &Provider,
    conduct: &Conduct,
    client: &str,
    asked: &Asked,
) -> Result<(Issued, Option<String>), &'static str> {
    let mut grants = provider.0.grants.lock().unwrap();
    let secret = asked.get("code").ok_or("invalid_request")?;
    let code = grants.look(secret).ok_or("invalid_grant")?;
    let verified = code.challenge.as_ref().is_none_or(|challenge| {
        asked
            .get("code_verifier")
            .is_some_and(|verifier| URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier)) == *challenge)
    });
    let same = code.client == client
        && asked.get("redirect_uri") == Some(&code.redirect_uri)
        && asked.get("resource") == code.resource.as_ref();
    if !verified || !same {
        return Err("invalid_grant");
    }
    let issued = grants.redeem(secret, conduct, provider.now());
    drop(grants);
    let openid = code.scopes.iter().any(|scope| scope == "openid");
    let id_token = openid.then(|| provider.id_token(&issued.subject, client, code.nonce.as_deref()));
    Ok((issued, id_token))
}

fn answer(conduct: &Conduct, issued: &Issued, id_token: Option<String>) -> Response {
    let scopes = issued.scopes.join(&conduct.granted_separator.to_string());
    let mut token = json!({ "access_token": issued.access, "token_type": "bearer", "scope": scopes });
    if conduct.tells_lifetime {
        token["expires_in"] = json!(conduct.lives);
    }
    if let Some(refresh) = &issued.refresh {
        token["refresh_token"] = json!(refresh);
    }
    if let Some(id_token) = id_token {
        token["id_token"] = json!(id_token);
    }
    let mut whole = match conduct.nested {
        Some(member) => json!({ member: token }),
        None => token,
    };
    let extra = about(&Value::Object(conduct.extra.clone()), &issued.subject);
    whole.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    if conduct.form_answers {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = whole.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value)));
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        return ([("content-type", "application/x-www-form-urlencoded")], form).into_response();
    }
    json_answer(StatusCode::OK, whole)
}

fn refuse(conduct: &Conduct, error: &str) -> Response {
    if conduct.errors_in_success {
        return json_answer(
            StatusCode::OK,
            json!({ "ok": false, "error": error, "error_description": "no" }),
        );
    }
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    json_answer(status, json!({ "error": error, "error_description": "no" }))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let shown = headers.get("authorization")?.to_str().ok()?;
    shown.strip_prefix("Bearer ").map(str::to_owned)
}

/// RFC 7009, or whatever bearer token is shown.
async fn revoke(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    provider.count("revoke");
    let conduct = provider.conduct();
    if conduct.revoke_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (asked, _) = read(&headers, &body).unwrap_or_default();
    let shown = bearer(&headers);
    if shown.is_none() && client(&provider, &conduct, &headers, &asked).is_none() {
        return refuse(&conduct, "invalid_client");
    }
    let token = shown.or_else(|| asked.get("token").cloned()).unwrap_or_default();
    provider.0.grants.lock().unwrap().end(&token);
    json_answer(StatusCode::OK, json!({ "ok": true }))
}

/// As GitHub has it.
async fn revoke_grant(
    State(provider): State<Provider>,
    Path(named): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    provider.count("revoke");
    if provider.conduct().revoke_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (asked, json) = read(&headers, &body).unwrap_or_default();
    if !json || named != CLIENT || basic(&headers) != Some((CLIENT.to_owned(), SECRET.to_owned())) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let ended = provider.0.grants.lock().unwrap().end(asked.get("access_token").map_or("", String::as_str));
    if ended { StatusCode::NO_CONTENT.into_response() } else { StatusCode::NOT_FOUND.into_response() }
}

/// The API: whose token, key or password it is.
async fn account(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    provider.count("account");
    let conduct = provider.conduct();
    if conduct.account_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let shown = bearer(&headers);
    let subject = match (&shown, basic(&headers)) {
        (Some(key), _) if key == API_KEY => Some(conduct.subject.clone()),
        (Some(token), _) => provider.0.grants.lock().unwrap().subject(token, provider.now()),
        (None, Some((name, password))) if (name.as_str(), password.as_str()) == PASSWORD => {
            Some(conduct.subject.clone())
        }
        (None, _) => None,
    };
    let Some(subject) = subject else {
        return json_answer(StatusCode::UNAUTHORIZED, json!({ "message": "Bad credentials" }));
    };
    *provider.0.calls.lock().unwrap().entry(shown.unwrap_or_default()).or_default() += 1;
    json_answer(StatusCode::OK, about(&conduct.account, &subject))
}

/// Atlassian's sites.
async fn sites(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    let shown = bearer(&headers).unwrap_or_default();
    if provider.0.grants.lock().unwrap().subject(&shown, provider.now()).is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    json_answer(
        StatusCode::OK,
        json!([{ "id": "cloud-1", "url": "https://acme.atlassian.example", "name": "acme" }]),
    )
}
