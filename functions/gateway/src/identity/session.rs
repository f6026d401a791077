//! A browser that is signed in. It holds a secret in a cookie that only we can read or set, and we hold the secret's SHA-256.
//!
//! The secret changes every quarter of an hour of use, so that a stolen one is soon worth nothing; the session ends after eight hours
//! without use, after seven days, or when its person is not active any more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, header};
use schemas::ids::{SessionId, Sha256Hex, Timestamp, UserId};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::person::Person;
use crate::Gateway;
use crate::platform::{Platform, PlatformError};
use crate::secret::Secret;
use crate::store::sessions::{self, Opening};
use crate::vault::Vault;

/// The cookie: `__Host-` makes browsers refuse it from other hosts, from subdomains, and without TLS (RFC 6265bis §4.1.3).
const COOKIE: &str = "__Host-ambit";
/// Only we get it, and other sites can't send it with a form (RFC 6265bis §4.1.2).
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
/// A secret is used for so long, in milliseconds.
const RENEWED_EVERY: i64 = 15 * 60 * 1000;
/// The secret before is good for so long, in milliseconds: requests with it may be under way.
const OVERLAP: i64 = 60 * 1000;
/// As much of what a browser says it is as is kept, in characters.
const BROWSER: usize = 200;

/// Who is behind a request from a browser.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) person: Person,
    /// Since when.
    pub(crate) since: Timestamp,
    /// SHA-256 of the secret, if it is old enough for a new one.
    ripe: Option<String>,
}

/// Who is signed in.
///
/// # Errors
/// The database failed: we could not find out.
pub(crate) async fn signed<P: Platform>(
    platform: &P,
    headers: &HeaderMap,
) -> Result<Option<Signed>, PlatformError> {
    let Some(hash) = shown(headers) else { return Ok(None) };
    let Some(found) = sessions::find(platform, &hash).await? else { return Ok(None) };
    let ripe = found.newest && found.renewed.plus(RENEWED_EVERY) <= platform.now();
    Ok(Some(Signed {
        person: Person::signed_in(&found.id, found.user),
        id: found.id,
        user_id: found.user_id,
        since: found.since,
        ripe: ripe.then_some(hash),
    }))
}

impl Signed {
    /// What every form of a page for this session carries, so that no other site can have made it.
    pub(crate) fn form_token(&self, vault: &Vault) -> String {
        // A key of any length is fine for HMAC, so this can't fail; no token would only be refused.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&vault.derive("ambit/v1/form")) else {
            return String::new();
        };
        mac.update(self.id.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whether a form was sent by a page of ours, made for this session.
    pub(crate) fn takes_form(&self, gateway: &Gateway, headers: &HeaderMap, token: &str) -> bool {
        let expected = self.form_token(&gateway.vault);
        let same = !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(token.as_bytes()));
        same && gateway.settings.is_own_form(headers)
    }

    /// A new secret for the cookie, if it is time for one. To be put on the answer ([`header::SET_COOKIE`]) to whoever showed the old one.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn renew<P: Platform>(
        &self,
        platform: &P,
    ) -> Result<Option<HeaderValue>, PlatformError> {
        let Some(old) = &self.ripe else { return Ok(None) };
        let (secret, new) = mint(platform);
        let until = platform.now().plus(OVERLAP);
        // Whoever loses the swap keeps the old secret for the overlap: the answer that won brings the new one.
        let won = sessions::renew(platform, &self.id, (old, &new), until).await?;
        let end = self.since.plus(sessions::LONGEST);
        Ok(won.then(|| cookie(&secret, platform.now(), end)).flatten())
    }
}

/// A session that is about to be opened.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) id: SessionId,
    secret: Secret,
    hash: String,
    browser: String,
    instead_of: Option<String>,
}

impl New {
    /// For the browser behind this request, whose session until now ends with it.
    pub(crate) fn of(platform: &impl Platform, headers: &HeaderMap) -> Self {
        let mut random = [0; 10];
        platform.fill_random(&mut random);
        let (secret, hash) = mint(platform);
        Self {
            id: SessionId::mint(platform.now(), random),
            secret,
            hash,
            browser: browser(headers),
            instead_of: shown(headers),
        }
    }

    /// As the store opens it.
    pub(crate) fn opening<'a>(&'a self, opened_by: &'a str) -> Opening<'a> {
        Opening {
            id: &self.id,
            hash: &self.hash,
            opened_by,
            browser: &self.browser,
            instead_of: self.instead_of.as_deref(),
        }
    }

    /// Its cookie, for after it was opened.
    pub(crate) fn cookie(&self, now: Timestamp) -> Option<HeaderValue> {
        cookie(&self.secret, now, now.plus(sessions::LONGEST))
    }
}

/// What a browser says it is, for people to tell theirs apart.
pub(crate) fn browser(headers: &HeaderMap) -> String {
    let said = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    said.unwrap_or_default().chars().take(BROWSER).collect()
}

/// The cookie that takes the session's away.
pub(crate) fn no_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-ambit=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The value of a cookie; nothing if there are several, one of which somebody else may have set.
pub(crate) fn only_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(other, _)| *other == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}

/// SHA-256 of the secret that a request shows.
fn shown(headers: &HeaderMap) -> Option<String> {
    let secret = only_cookie(headers, COOKIE)?;
    (secret.len() == 43).then(|| Sha256Hex::of(secret.as_bytes()).as_str().to_owned())
}

fn mint(platform: &impl Platform) -> (Secret, String) {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let hash = Sha256Hex::of(secret.as_bytes()).as_str().to_owned();
    (Secret::new(secret), hash)
}

fn cookie(secret: &Secret, now: Timestamp, end: Timestamp) -> Option<HeaderValue> {
    let seconds = end.0.saturating_sub(now.0) / 1000;
    let mut value =
        HeaderValue::from_str(&format!("{COOKIE}={}; {ATTRIBUTES}; Max-Age={seconds}", secret.expose()))
            .ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_counts_if_there_is_one_of_that_name() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            only_cookie(&headers, COOKIE).map(str::to_owned)
        };
        assert_eq!(of(&["a=b; __Host-ambit=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(of(&["__host-ambit=x", "ambit=y"]), None, "names are told apart by case");
        assert_eq!(of(&["__Host-ambit=x; __Host-ambit=y"]), None);
        assert_eq!(of(&["__Host-ambit=x", "__Host-ambit=x"]), None);
    }
}
