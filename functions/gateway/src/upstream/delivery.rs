//! A credential on its way to a server. The only place that makes an `Authorization` header for one.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use schemas::ids::{ConnectionId, Timestamp};
use schemas::provisioner::{Placement, SecretText};

use super::UpstreamError;
use crate::json::{self, Object};
use crate::secret::Secret;
use crate::toolboxes::Server;

/// A credential, filled into the forms that a server wants it in. It holds no refresh token: those never leave the broker.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Whose account it is of.
    pub(crate) subject: ConnectionId,
    /// Which version of that account's credential.
    pub(crate) version: i64,
    /// When it ends, if that is known.
    pub(crate) until: Option<Timestamp>,
    /// The token itself, which nobody should see come back: a provisioner strikes it out of logs and answers.
    pub(crate) token: Secret,
    /// What goes where.
    pub(crate) placed: Vec<(Placement, Secret)>,
}

impl Delivery {
    /// Whether the server gets any of it when it starts, and hence serves this account only.
    pub(super) fn is_at_start(&self) -> bool {
        self.placed.iter().any(|(at, _)| at.is_at_start())
    }

    /// Puts the credential into a request for a remote server.
    ///
    /// # Errors
    /// It has no place there, or does not fit: nothing is sent then.
    pub(super) fn put_into(
        &self,
        server: &Server,
        request: &mut Request<Bytes>,
    ) -> Result<(), UpstreamError> {
        let refused = |reason: String| UpstreamError::Misplaced { server: server.name.to_string(), reason };
        for (at, secret) in &self.placed {
            match at {
                Placement::Header { name } => {
                    let name = HeaderName::from_bytes(name.as_str().as_bytes())
                        .map_err(|error| refused(error.to_string()))?;
                    let mut value = HeaderValue::from_str(secret.expose())
                        .map_err(|_| refused(format!("what belongs in {at} does not fit into a header")))?;
                    value.set_sensitive(true);
                    request.headers_mut().insert(name, value);
                }
                Placement::Meta { key } => {
                    let body = with_meta(request.body(), key.as_str(), secret)
                        .ok_or_else(|| refused(format!("the message has no `params` for {at}")))?;
                    *request.body_mut() = body;
                }
                Placement::Env { .. } | Placement::File { .. } => {
                    return Err(refused(format!(
                        "it is at an address, and takes no credential in {at}: use a header"
                    )));
                }
            }
        }
        Ok(())
    }

    /// What is sealed for a provisioner.
    pub(super) fn delivered(&self) -> schemas::provisioner::Delivered {
        let placed = self
            .placed
            .iter()
            .map(|(at, secret)| (at.clone(), SecretText::new(secret.expose().to_owned())))
            .collect();
        schemas::provisioner::Delivered {
            subject: self.subject.clone(),
            version: self.version,
            until: self.until,
            token: SecretText::new(self.token.expose().to_owned()),
            placed,
        }
    }
}

/// The message with a secret in its `params._meta`; the other bytes are those they were.
fn with_meta(body: &Bytes, key: &str, secret: &Secret) -> Option<Bytes> {
    let mut message = Object::parse(std::str::from_utf8(body).ok()?).ok()?;
    let mut params = Object::parse(message.source("params")?).ok()?;
    let mut meta = match params.source("_meta") {
        Some(meta) => Object::parse(meta).ok()?,
        None => Object::default(),
    };
    let mut value = String::new();
    json::push_text(&mut value, secret.expose());
    meta.set(key.to_owned(), json::raw(value));
    params.set("_meta", meta.to_raw());
    message.set("params", params.to_raw());
    let mut out = String::with_capacity(body.len() + secret.expose().len() + 64);
    message.write(&mut out);
    Some(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_meta_replaces_what_a_caller_put_there() {
        let secret = Secret::new("a\"b".to_owned());
        let put = |body: &'static str| {
            let body = with_meta(&Bytes::from_static(body.as_bytes()), "x/t", &secret)?;
            String::from_utf8(body.to_vec()).ok()
        };
        assert_eq!(
            put(r#"{"id":1,"params":{"name":"n","_meta":{"k":1.0,"x/t":"theirs"}}}"#).unwrap(),
            r#"{"id":1,"params":{"name":"n","_meta":{"k":1.0,"x/t":"a\"b"}}}"#
        );
        assert_eq!(put(r#"{"params":{}}"#).unwrap(), r#"{"params":{"_meta":{"x/t":"a\"b"}}}"#);
        assert!(put("{}").is_none());
    }
}
