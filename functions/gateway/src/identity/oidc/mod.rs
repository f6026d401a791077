//! Signing in at an organisation's identity provider (OpenID Connect Core 1.0, authorization code flow): we are its client.
//!
//! What comes back counts only if this browser left for it (state and cookie), from where it was sent (`iss`, RFC 9207), with a code that
//! was made for us (PKCE, RFC 7636), in an ID token that was made for this very attempt (nonce).

mod discovery;
mod exchange;
mod flow;
mod id_token;

pub(crate) use discovery::{Discovered, Metadata};
pub(crate) use exchange::{Place, exchange};
pub(crate) use flow::{Flow, Returned, flow_cookie_gone};
pub(crate) use id_token::{Claims, open};

/// Why nobody is signed in. The text is for the person who tried and for the trail: it tells nothing that the identity provider or the
/// browser didn't know.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum OidcError {
    /// Its address is not asked.
    #[error(transparent)]
    Egress(#[from] crate::egress::Refused),
    /// It can't be reached, or does not answer as it should.
    #[error("the identity provider does not answer as it should: {0}")]
    Provider(String),
    /// What came back is not what we asked for.
    #[error("{0}")]
    Answer(String),
    /// The ID token is not good.
    #[error("the ID token is not valid: {0}")]
    Token(String),
}
