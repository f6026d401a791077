//! A credential as it is sent to a provisioner.

use zeroize::Zeroizing;

use crate::ids::{ConnectionId, Timestamp};
use crate::provisioner::Placement;

/// A credential as a provisioner gets it: sealed, in a header of one call, for one account. A refresh token is never part of it.
#[derive(Debug)]
pub struct Delivered {
    /// Whose account it is of: a process that got it at its start serves nobody else.
    pub subject: ConnectionId,
    /// Which version of that account's credential.
    pub version: i64,
    /// When it ends, if that is known.
    pub until: Option<Timestamp>,
    /// The token itself, in whatever forms it is placed: struck out of logs and answers.
    pub token: SecretText,
    /// What goes where.
    pub placed: Vec<(Placement, SecretText)>,
}

/// One secret text. It has no `Display`, no serde, and a `Debug` that tells nothing; its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a secret in.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// The form of [`Delivered`] on the wire, inside the seal.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<T> {
    subject: ConnectionId,
    version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    token: T,
    placed: Vec<(Placement, T)>,
}

impl Delivered {
    /// What is sealed.
    ///
    /// # Errors
    /// Only if it has no JSON form.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let placed = self.placed.iter().map(|(at, value)| (at.clone(), value.expose())).collect();
        let wire = Wire {
            subject: self.subject.clone(),
            version: self.version,
            until: self.until,
            token: self.token.expose(),
            placed,
        };
        let size = self.placed.iter().map(|(_, value)| value.0.len() * 2 + 256).sum::<usize>() + 256;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *bytes, &wire)?;
        Ok(bytes)
    }

    /// Reads what was sealed.
    ///
    /// # Errors
    /// It is something else. The error tells nothing of the content.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, crate::ParseError> {
        let wire: Wire<String> = serde_json::from_slice(bytes).map_err(|_| {
            crate::ParseError::new("delivery", "..", "a credential as `Delivered::to_bytes` writes it")
        })?;
        let placed = wire.placed.into_iter().map(|(at, value)| (at, SecretText::new(value))).collect();
        Ok(Self {
            subject: wire.subject,
            version: wire.version,
            until: wire.until,
            token: SecretText::new(wire.token),
            placed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioner::CredentialVariable;

    #[test]
    fn what_is_delivered_survives_and_does_not_show() {
        let at = Placement::Env { name: CredentialVariable::parse("TOKEN").unwrap() };
        let given = Delivered {
            subject: ConnectionId::mint(Timestamp(1), [7; 10]),
            version: 3,
            until: Some(Timestamp(9)),
            token: SecretText::new("s3cret".to_owned()),
            placed: vec![(at, SecretText::new("s3cret \"x\"".to_owned()))],
        };
        let taken = Delivered::from_bytes(&given.to_bytes().unwrap()).unwrap();
        assert_eq!((&taken.subject, taken.version, taken.until), (&given.subject, 3, given.until));
        assert_eq!(taken.placed, given.placed);
        assert!(!format!("{taken:?}").contains("s3cret"));
        assert!(!Delivered::from_bytes(b"\"s3cret\"").unwrap_err().to_string().contains("s3cret"));
    }
}
