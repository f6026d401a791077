//! Answers of token endpoints, from whatever a provider writes into what RFC 6749 §5 has: the rest of the room knows no quirks.

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::profile::{Profile, Separator};

/// An answer, as the RFC has it: status 200 with a token, or another with `error`.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) members: Map<String, Value>,
}

impl Answer {
    /// Reads one.
    pub(super) fn read(profile: &Profile, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let mut members = members(headers, body);
        if let Some(inner) = profile.token_at.as_deref().and_then(|place| nested(&members, place)) {
            members.extend(inner);
        }
        let good = members.get("access_token").and_then(Value::as_str).is_some_and(|token| !token.is_empty());
        let not_ok = members.get("ok") == Some(&Value::Bool(false));
        let status = match status {
            status if profile.errors_in_success && status.is_success() && (not_ok || !good) => {
                StatusCode::BAD_REQUEST
            }
            // Some say that a token was made (201), where the RFC says 200.
            status if status.is_success() => StatusCode::OK,
            status => status,
        };
        normalise(profile, &mut members);
        Self { status, members }
    }

    /// Text of a member.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }

    /// As it is handed on.
    pub(super) fn to_http(&self) -> http::Response<Vec<u8>> {
        let body = serde_json::to_vec(&self.members).unwrap_or_default();
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        response
    }
}

/// JSON, whatever the answer says that it is; or else a form, if it says so.
fn members(headers: &HeaderMap, body: &[u8]) -> Map<String, Value> {
    if let Ok(members) = serde_json::from_slice::<Map<String, Value>>(body) {
        return members;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Map::new();
    }
    let pairs = url::form_urlencoded::parse(body);
    pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
}

/// The members of the token, if there is one at that place.
fn nested(members: &Map<String, Value>, place: &str) -> Option<Map<String, Value>> {
    let (first, rest) = place.strip_prefix('/')?.split_once('/').unwrap_or((place.strip_prefix('/')?, ""));
    let inner = members.get(first)?;
    let inner = if rest.is_empty() { inner } else { inner.pointer(&format!("/{rest}"))? };
    inner.as_object().filter(|inner| inner.contains_key("access_token")).cloned()
}

/// Puts members into the form that the RFC gives them.
fn normalise(profile: &Profile, members: &mut Map<String, Value>) {
    // Slack says `user` and `bot`, others nothing: each is used as a bearer token.
    members.insert("token_type".to_owned(), "bearer".into());
    let seconds = match members.get("expires_in") {
        Some(Value::String(text)) => text.trim().parse::<u64>().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a lifetime in whole seconds; what is out of range saturates"
        )]
        Some(Value::Number(number)) => {
            number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64))
        }
        _ => None,
    };
    match seconds.filter(|seconds| *seconds > 0) {
        Some(seconds) => members.insert("expires_in".to_owned(), seconds.into()),
        None => members.remove("expires_in"),
    };
    let scope = match members.get("scope") {
        Some(Value::String(text)) if profile.granted_separator == Separator::Comma => {
            Some(text.replace(',', " "))
        }
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(items)) => {
            Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    match scope {
        Some(scope) => members.insert("scope".to_owned(), scope.into()),
        None => members.remove("scope"),
    };
    if members.get("refresh_token").and_then(Value::as_str).is_none_or(str::is_empty) {
        members.remove("refresh_token");
    }
    // Some have an object there, with the word in it.
    if let Some(Value::Object(inner)) = members.get("error") {
        let word = ["code", "type", "error"].iter().find_map(|name| inner.get(*name)?.as_str());
        let word = word.unwrap_or("unknown").to_owned();
        members.insert("error".to_owned(), word.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, status: u16, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if !body.starts_with('{') {
            headers.insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Answer::read(Profile::find(kind).unwrap(), status, &headers, body.as_bytes())
    }

    #[test]
    fn every_quirk_ends_here() {
        let form = read("github", 200, "access_token=t&scope=repo%2Cgist&token_type=bearer");
        assert_eq!((form.status, form.text("scope")), (StatusCode::OK, Some("repo gist")));
        let error = read("github", 200, r#"{"error":"bad_verification_code"}"#);
        assert_eq!(
            (error.status, error.text("error")),
            (StatusCode::BAD_REQUEST, Some("bad_verification_code"))
        );
        let slack = json!({ "ok": true, "access_token": null, "team": { "id": "T" },
            "authed_user": { "id": "U", "access_token": "t", "token_type": "user", "scope": "a,b", "expires_in": 43_200 } });
        let slack = read("slack", 200, &slack.to_string());
        assert_eq!((slack.text("access_token"), slack.text("scope")), (Some("t"), Some("a b")));
        assert_eq!(slack.members["expires_in"], 43_200);
        let refused = read("slack", 200, r#"{"ok":false,"error":"invalid_refresh_token"}"#);
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let sloppy = read("gitlab", 201, r#"{"access_token":"t","expires_in":"7200","refresh_token":""}"#);
        assert_eq!((sloppy.status, &sloppy.members["expires_in"]), (StatusCode::OK, &json!(7200)));
        assert!(!sloppy.members.contains_key("refresh_token"));
        for forever in ["null", "0", "-1", "\"soon\""] {
            let answer = read("gitlab", 200, &format!("{{\"access_token\":\"t\",\"expires_in\":{forever}}}"));
            assert!(!answer.members.contains_key("expires_in"), "{forever}");
        }
        assert_eq!(
            read("gitlab", 400, r#"{"error":{"type":"invalid_grant"}}"#).text("error"),
            Some("invalid_grant")
        );
    }
}
