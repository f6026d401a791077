//! What a provider gave for an account. It exists in clear only while it is being used; at rest it is sealed by the vault.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::Timestamp;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The token set of a connection; for API keys and passwords, what the person entered. No `Serialize`: only the vault's form leaves.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    /// The access token, API key or password.
    pub(crate) access: Secret,
    /// What gets the next access token (RFC 6749 §6); never leaves the broker.
    pub(crate) refresh: Option<Secret>,
    /// When it was got, by our clock.
    pub(crate) issued_at: Timestamp,
    /// When the access token ends, by our clock; nothing if it doesn't, or nobody knows.
    pub(crate) expires_at: Option<Timestamp>,
    /// What was granted.
    pub(crate) scopes: BTreeSet<String>,
    /// What else belongs to it and is not secret in itself, such as `username` or `instance_url`.
    pub(crate) fields: BTreeMap<String, String>,
}

/// As the vault keeps it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept<'a> {
    v: u8,
    access: std::borrow::Cow<'a, str>,
    refresh: Option<std::borrow::Cow<'a, str>>,
    issued_at: i64,
    expires_at: Option<i64>,
    scopes: BTreeSet<String>,
    fields: BTreeMap<String, String>,
}

impl Credential {
    /// The form that is sealed.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let kept = Kept {
            v: 1,
            access: self.access.expose().into(),
            refresh: self.refresh.as_ref().map(|refresh| refresh.expose().into()),
            issued_at: self.issued_at.0,
            expires_at: self.expires_at.map(|at| at.0),
            scopes: self.scopes.clone(),
            fields: self.fields.clone(),
        };
        // Text and numbers always have a JSON form; an empty one would not open again, which fails closed.
        Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// Reads the form that was sealed; nothing if it is none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept<'_> = serde_json::from_slice(bytes).ok()?;
        (kept.v == 1).then(|| Self {
            access: Secret::new(kept.access.into_owned()),
            refresh: kept.refresh.map(|refresh| Secret::new(refresh.into_owned())),
            issued_at: Timestamp(kept.issued_at),
            expires_at: kept.expires_at.map(Timestamp),
            scopes: kept.scopes,
            fields: kept.fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_and_shows_nothing() {
        let credential = Credential {
            access: Secret::new("CANARY-access".to_owned()),
            refresh: Some(Secret::new("CANARY-refresh".to_owned())),
            issued_at: Timestamp(1),
            expires_at: Some(Timestamp(2)),
            scopes: BTreeSet::from(["repo".to_owned()]),
            fields: BTreeMap::from([("username".to_owned(), "ann".to_owned())]),
        };
        assert!(!format!("{credential:?}").contains("CANARY"));
        let again = Credential::from_bytes(&credential.to_bytes()).unwrap();
        assert_eq!(again.access.expose(), "CANARY-access");
        assert_eq!(again.refresh.unwrap().expose(), "CANARY-refresh");
        assert_eq!(
            (again.expires_at, again.scopes, again.fields),
            (credential.expires_at, credential.scopes, credential.fields)
        );
        assert!(Credential::from_bytes(b"{}").is_none());
    }
}
