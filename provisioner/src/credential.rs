//! A credential that came with a call, opened: where it goes, and what must not come back.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::ids::{ConnectionId, Sha256Hex};
use schemas::provisioner::{Delivered, Placement, SecretText, Subject};

use crate::bridge::envelope::quote;
use crate::error::Error;
use crate::secrets::Secrets;

/// A credential, sorted by where it goes.
#[derive(Debug)]
pub(crate) struct Given {
    subject: ConnectionId,
    version: i64,
    headers: HeaderMap,
    /// Key, and the secret as JSON.
    meta: Vec<(String, SecretText)>,
    at_start: Vec<(Placement, SecretText)>,
    secrets: Secrets,
    /// Of all of it: the same version in another form is another credential to a server.
    digest: Sha256Hex,
}

/// What a process, or a session with a server, has of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) subject: ConnectionId,
    version: i64,
    digest: Sha256Hex,
}

impl Held {
    /// Whether it should be given another one first. An older version of the same account's is no reason: its replacement was
    /// on its way when that call began, and what is held is younger.
    pub(crate) fn is_stale(&self, given: &Given) -> bool {
        given.version > self.version || (given.version == self.version && given.digest != self.digest)
    }
}

impl Given {
    /// Sorts what was delivered.
    ///
    /// # Errors
    /// Something does not fit where it should go; nothing of it is in the error.
    pub(crate) fn new(delivered: Delivered) -> Result<Self, Error> {
        let refused = |at: &Placement, why: &str| Error::WrongCredential { reason: format!("{at} {why}") };
        let digest = delivered.to_bytes().map(|bytes| Sha256Hex::of(&bytes));
        let digest = digest.map_err(|_| Error::WrongCredential { reason: "it has no form".to_owned() })?;
        let Delivered { subject, version, until: _, token, placed } = delivered;
        let (mut headers, mut meta, mut at_start) = (HeaderMap::new(), Vec::new(), Vec::new());
        let mut secrets = Vec::new();
        for (at, value) in placed {
            secrets.extend(encoded(&token, &value));
            match &at {
                Placement::Header { name } => {
                    let name = HeaderName::from_bytes(name.as_str().as_bytes());
                    let mut text = HeaderValue::from_str(value.expose())
                        .map_err(|_| refused(&at, "would break the request"))?;
                    text.set_sensitive(true);
                    headers.insert(name.map_err(|_| refused(&at, "has no such name"))?, text);
                    // Such as `Basic` with what nobody should see.
                    secrets.push(value);
                }
                Placement::Meta { key } => {
                    meta.push((key.as_str().to_owned(), SecretText::new(quote(value.expose()))));
                }
                Placement::Env { .. } | Placement::File { .. } => {
                    if value.expose().contains('\0') {
                        return Err(refused(&at, "takes no NUL character"));
                    }
                    at_start.push((at, value));
                }
            }
        }
        secrets.push(token);
        Ok(Self { subject, version, headers, meta, at_start, secrets: Secrets::new(secrets), digest })
    }

    pub(crate) fn subject(&self) -> &ConnectionId {
        &self.subject
    }

    /// Headers of requests made with it.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Members of `params._meta` of requests made with it.
    pub(crate) fn meta(&self) -> &[(String, SecretText)] {
        &self.meta
    }

    /// What a server gets when it starts.
    pub(crate) fn at_start(&self) -> &[(Placement, SecretText)] {
        &self.at_start
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn held(&self) -> Held {
        Held { subject: self.subject.clone(), version: self.version, digest: self.digest.clone() }
    }
}

/// Words of a text that hold the token in base64, as passwords are sent (RFC 7617 §2).
fn encoded(token: &SecretText, text: &SecretText) -> Vec<SecretText> {
    let holds = |word: &&str| {
        let decoded = STANDARD.decode(word).map(zeroize::Zeroizing::new);
        decoded.is_ok_and(|decoded| memchr::memmem::find(&decoded, token.expose().as_bytes()).is_some())
    };
    let words = text.expose().split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
    words.filter(holds).map(|word| SecretText::new(word.to_owned())).collect()
}

/// Refuses a call whose credential is not of the account that a workload serves. Names of workloads are no proof: this is.
///
/// # Errors
/// Says what does not fit. A workload that takes something else than what came is unknown: its spec is an old one.
pub(crate) fn check(subject: Option<&Subject>, given: Option<&Given>) -> Result<Fit, Error> {
    let wrong = |reason: &str| Err(Error::WrongCredential { reason: reason.to_owned() });
    match (subject, given) {
        (None, Some(given)) if !given.at_start.is_empty() => {
            wrong("the workload is nobody's in particular: it takes no credential when it starts")
        }
        (None, _) => Ok(Fit::Yes),
        (Some(_), None) => wrong("the workload serves one account, and the call brings no credential"),
        (Some(subject), Some(given)) if subject.connection != given.subject => {
            wrong("the workload serves another account")
        }
        (Some(subject), Some(given)) => {
            let placed: BTreeSet<&Placement> = given.at_start.iter().map(|(at, _)| at).collect();
            Ok(if subject.takes.iter().eq(placed) { Fit::Yes } else { Fit::OtherSpec })
        }
    }
}

/// Whether a workload is made for what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    /// It is of the right account, and was made to take something else.
    OtherSpec,
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ids::Timestamp;
    use schemas::provisioner::{CredentialHeader, CredentialVariable};

    fn variable(name: &str) -> Placement {
        Placement::Env { name: CredentialVariable::parse(name).unwrap() }
    }

    fn given(account: u8, version: i64, at: Placement, value: &str) -> Given {
        Given::new(Delivered {
            subject: ConnectionId::mint(Timestamp(1), [account; 10]),
            version,
            until: None,
            token: SecretText::new("CANARY-token".to_owned()),
            placed: vec![(at, SecretText::new(value.to_owned()))],
        })
        .unwrap()
    }

    #[test]
    fn nobody_is_served_by_a_process_of_somebody_else() {
        let mine = given(1, 1, variable("T"), "x");
        let subject = Subject { connection: mine.subject.clone(), takes: [variable("T")].into() };
        assert_eq!(check(Some(&subject), Some(&mine)), Ok(Fit::Yes));
        assert!(check(Some(&subject), Some(&given(2, 1, variable("T"), "x"))).is_err());
        assert!(check(Some(&subject), None).is_err());
        assert!(check(None, Some(&mine)).is_err());
        assert_eq!(check(Some(&subject), Some(&given(1, 1, variable("U"), "x"))), Ok(Fit::OtherSpec));
        let header = Placement::Header { name: CredentialHeader::parse("authorization").unwrap() };
        assert_eq!(check(None, Some(&given(1, 1, header, "Bearer x"))), Ok(Fit::Yes));
    }

    #[test]
    fn newer_ones_replace_older_ones_and_never_the_other_way() {
        let held = given(1, 5, variable("T"), "x").held();
        assert!(held.is_stale(&given(1, 6, variable("T"), "x")));
        assert!(held.is_stale(&given(1, 5, variable("T"), "y")), "the same in another form");
        assert!(!held.is_stale(&given(1, 5, variable("T"), "x")));
        assert!(!held.is_stale(&given(1, 4, variable("T"), "y")));
    }

    #[test]
    fn a_password_is_struck_out_as_it_is_sent_too() {
        let sent = STANDARD.encode("ann:CANARY-token");
        let given = given(1, 1, variable("BASIC"), &format!("Basic {sent}"));
        let struck = given.secrets().strike_text(format!("{sent} CANARY-token https://api.example"));
        assert_eq!(struck, "[redacted] [redacted] https://api.example");
    }

    #[test]
    fn nothing_of_it_shows() {
        assert!(!format!("{:?}", given(1, 1, variable("T"), "CANARY-value")).contains("CANARY"));
        let header = Placement::Header { name: CredentialHeader::parse("x-key").unwrap() };
        assert!(!format!("{:?}", given(1, 1, header, "CANARY-value")).contains("CANARY"));
    }
}
