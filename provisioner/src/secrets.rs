//! What must not come back: a server that tells its environment, or quotes a request in an error, gives nothing away.

use std::sync::Arc;

use bytes::Bytes;
use schemas::provisioner::SecretText;

/// Shorter ones are not struck out: they would be found in everything.
const SHORTEST: usize = 8;
/// What stands in their place.
const STRUCK: &str = "[redacted]";

/// Texts to strike out, in each form that they may have. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Arc<[SecretText]>);

impl Secrets {
    pub(crate) fn new(secrets: Vec<SecretText>) -> Self {
        let mut forms: Vec<SecretText> = Vec::new();
        for secret in secrets {
            let json = crate::bridge::envelope::quote(secret.expose());
            let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
            let escaped = SecretText::new(inner.to_owned());
            for form in [secret, escaped] {
                if form.expose().len() >= SHORTEST && !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        // A form that holds another one goes first.
        forms.sort_by_key(|form| std::cmp::Reverse(form.expose().len()));
        Self(forms.into())
    }

    /// Whether both strike out the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn found_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|form| memchr::memmem::find(bytes, form.expose().as_bytes()).is_some())
    }

    /// The text without them.
    pub(crate) fn strike_text(&self, text: String) -> String {
        if !self.found_in(text.as_bytes()) {
            return text;
        }
        self.0.iter().fold(text, |text, form| text.replace(form.expose(), STRUCK))
    }

    /// The message without them; as it was, without a copy, if there are none.
    pub(crate) fn strike(&self, message: Bytes) -> Bytes {
        if !self.found_in(&message) {
            return message;
        }
        // Messages are JSON, hence UTF-8; what is not is not passed on as it is.
        self.strike_text(String::from_utf8_lossy(&message).into_owned()).into()
    }

    /// A text that was cut off, without them and without the beginning of one at its end.
    pub(crate) fn strike_cut(&self, text: String) -> String {
        let mut text = self.strike_text(text);
        let begun = self.0.iter().filter_map(|form| {
            let form = form.expose();
            let ends = |length: &usize| form.get(..*length).is_some_and(|begun| text.ends_with(begun));
            (SHORTEST / 2..form.len()).rev().find(ends)
        });
        if let Some(length) = begun.max() {
            text.truncate(text.len() - length);
            text.push_str(STRUCK);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(texts.iter().map(|text| SecretText::new((*text).to_owned())).collect())
    }

    #[test]
    fn they_are_struck_out_in_every_form() {
        let secrets = secrets(&["gho_0123456789", "Bearer gho_0123456789", "a\"quoted\"one", "short"]);
        assert_eq!(secrets.strike_text("x gho_0123456789 y".to_owned()), "x [redacted] y");
        assert_eq!(secrets.strike_text("Bearer gho_0123456789".to_owned()), "[redacted]");
        assert_eq!(secrets.strike_text(r#"{"t":"a\"quoted\"one"}"#.to_owned()), r#"{"t":"[redacted]"}"#);
        assert_eq!(secrets.strike_text("in short".to_owned()), "in short");
        let message = Bytes::from_static(b"nothing of the kind");
        assert_eq!(secrets.strike(message.clone()).as_ptr(), message.as_ptr(), "not copied");
        assert!(!format!("{secrets:?}").contains("gho_"));
    }

    #[test]
    fn the_beginning_of_one_is_no_less_secret() {
        let secrets = secrets(&["gho_0123456789"]);
        assert_eq!(secrets.strike_cut("cut at gho_01234".to_owned()), "cut at [redacted]");
        assert_eq!(secrets.strike_cut("not at go".to_owned()), "not at go");
    }
}
