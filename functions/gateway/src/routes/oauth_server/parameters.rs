//! Parameters of a request: each once (RFC 6749 §3.1), an empty one is none.

use std::collections::BTreeMap;

use super::error::OAuthError;

/// Parameters by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text.
    ///
    /// # Errors
    /// A parameter comes twice.
    pub(super) fn read(text: &[u8]) -> Result<Self, OAuthError> {
        let mut all = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            let what = if name == "resource" { "invalid_target" } else { "invalid_request" };
            if all.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(OAuthError::new(what, format!("`{name}` is there more than once")));
            }
        }
        all.retain(|_, value| !value.is_empty());
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// One that must be there.
    ///
    /// # Errors
    /// It isn't.
    pub(super) fn must(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("`{name}` is missing")))
    }
}

/// The parameters of a form in the body (RFC 6749 §3.2).
///
/// # Errors
/// It is no form, or a parameter comes twice.
pub(super) fn of_form(request: &http::Request<bytes::Bytes>) -> Result<Parameters, OAuthError> {
    let kind = request
        .headers()
        .get(http::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OAuthError::invalid_request("send `content-type: application/x-www-form-urlencoded`"));
    }
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(OAuthError::invalid_request("parameters belong into the body, where no log keeps them"));
    }
    Parameters::read(request.body())
}
