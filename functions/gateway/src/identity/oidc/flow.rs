//! A browser on its way to an identity provider and back. What it left with, it carries itself: sealed, in a cookie that only we can
//! set, good for ten minutes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use schemas::ids::{SessionId, Timestamp};
use schemas::names::{IdentityProviderName, OrgName};
use subtle::ConstantTimeEq as _;

use super::{Metadata, OidcError};
use crate::identity::session::only_cookie;
use crate::platform::Platform;
use crate::vault::{Purpose, Vault};

/// How long somebody may take, in milliseconds.
const PATIENCE: i64 = 10 * 60 * 1000;

/// What a browser left with. No `Debug`: it holds secrets.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Flow {
    pub(crate) state: String,
    pub(crate) nonce: String,
    /// Of PKCE (RFC 7636 §4.1).
    pub(crate) verifier: String,
    pub(crate) issuer: String,
    pub(crate) return_to: String,
    /// The session that wants to be linked to whoever comes back; without one, whoever comes back is signed in.
    pub(crate) link: Option<SessionId>,
    pub(crate) until: Timestamp,
}

impl Flow {
    /// A new one.
    pub(crate) fn new(
        platform: &impl Platform,
        issuer: &str,
        return_to: &str,
        link: Option<SessionId>,
    ) -> Self {
        let random = || {
            let mut bytes = [0; 32];
            platform.fill_random(&mut bytes);
            URL_SAFE_NO_PAD.encode(bytes)
        };
        Self {
            state: random(),
            nonce: random(),
            verifier: random(),
            issuer: issuer.to_owned(),
            return_to: return_to.to_owned(),
            link,
            until: platform.now().plus(PATIENCE),
        }
    }

    /// The cookie that it travels in. Each has its own, so that two tabs can be on their way.
    pub(crate) fn cookie(
        &self,
        platform: &impl Platform,
        vault: &Vault,
        org: &OrgName,
        idp: &IdentityProviderName,
    ) -> Option<HeaderValue> {
        let text = serde_json::to_vec(self).ok()?;
        let sealed = vault.seal(platform, Purpose::SignIn, &place(org, idp), &text)?;
        let seconds = PATIENCE / 1000;
        let line = format!(
            "{}={sealed}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}",
            cookie_name(&self.state)
        );
        let mut value = HeaderValue::from_str(&line).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The one that this browser left with, if it comes back with its state, to where it was sent.
    pub(crate) fn resume(
        vault: &Vault,
        headers: &HeaderMap,
        org: &OrgName,
        idp: &IdentityProviderName,
        state: &str,
        now: Timestamp,
    ) -> Option<Self> {
        let sealed = only_cookie(headers, &cookie_name(state))?;
        let text = vault.open(Purpose::SignIn, &place(org, idp), sealed).ok()?;
        let flow: Self = serde_json::from_slice(&text).ok()?;
        let same = bool::from(flow.state.as_bytes().ct_eq(state.as_bytes()));
        (same && now < flow.until).then_some(flow)
    }
}

/// A cookie sealed for one provider opens for no other.
fn place(org: &OrgName, idp: &IdentityProviderName) -> Vec<u8> {
    format!("flow\n{org}\n{idp}").into_bytes()
}

fn cookie_name(state: &str) -> String {
    let start: String = state.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("__Host-ambit-flow-{start}")
}

/// The cookie that takes a flow's away: it is over, however it ended.
pub(crate) fn flow_cookie_gone(state: &str) -> Option<HeaderValue> {
    let line = format!("{}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0", cookie_name(state));
    HeaderValue::from_str(&line).ok()
}

/// What a browser comes back with (RFC 6749 §4.1.2).
#[derive(Debug, Default)]
pub(crate) struct Returned {
    pub(crate) state: String,
    pub(crate) code: Option<String>,
    pub(crate) iss: Option<String>,
    error: Option<String>,
}

impl Returned {
    /// Reads a query. Nothing if there is no state, or something is there twice (RFC 6749 §3.1).
    pub(crate) fn read(query: &str) -> Option<Self> {
        let mut returned = Self::default();
        let mut state = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let member = match name.as_ref() {
                "state" => &mut state,
                "code" => &mut returned.code,
                "iss" => &mut returned.iss,
                "error" => &mut returned.error,
                _ => continue,
            };
            if member.replace(value.into_owned()).is_some() {
                return None;
            }
        }
        returned.state = state.filter(|state| !state.is_empty())?;
        Some(returned)
    }

    /// The word by which it was refused: a code of RFC 6749 §4.1.2.1, or some such; never prose of strangers.
    pub(crate) fn refusal(&self) -> Option<&str> {
        let error = self.error.as_deref()?;
        let known = error.len() <= 60 && error.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
        Some(if known { error } else { "error" })
    }

    /// The code, if it is the right provider that answers, and it does not refuse.
    ///
    /// # Errors
    /// It is another (RFC 9207 §2.4), or there is no code.
    pub(crate) fn code(&self, metadata: &Metadata) -> Result<&str, OidcError> {
        let answer = |why: &str| OidcError::Answer(why.to_owned());
        match &self.iss {
            Some(iss) if *iss != metadata.issuer => {
                return Err(answer("the answer came from another identity provider"));
            }
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(answer("the answer does not say which identity provider it came from"));
            }
            _ => {}
        }
        if let Some(word) = self.refusal() {
            return Err(OidcError::Answer(format!("the identity provider refused: `{word}`")));
        }
        self.code.as_deref().filter(|code| !code.is_empty()).ok_or_else(|| answer("the answer holds no code"))
    }
}
