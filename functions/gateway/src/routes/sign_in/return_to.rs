//! Where somebody goes after signing in: a path of ours, and nothing that a browser could take for another place.

use schemas::names::OrgName;

/// No address of ours is longer.
const LONGEST: usize = 2048;

/// A path and query on this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReturnTo(String);

impl ReturnTo {
    /// Takes a path that starts with exactly one slash and holds nothing but the characters of paths and queries (RFC 3986 §3.3, §3.4).
    /// No backslash, which browsers read as a slash; no control characters, which they leave out (URL Standard §4.4).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~/?&=%+:@!$'()*,;".contains(&c);
        let one_slash = text.starts_with('/') && !text.starts_with("//");
        let path = text.split('?').next().unwrap_or_default();
        let stays = !path.split('/').any(|segment| segment == "." || segment == "..") && !path.contains("//");
        // A percent sign in a path can spell a slash or a dot that somebody in between decodes: no path of ours needs one.
        let spelt_out = !path.contains('%') && !path.contains('@');
        (one_slash && stays && spelt_out && text.len() <= LONGEST && text.bytes().all(is_plain))
            .then(|| Self(text.to_owned()))
    }

    /// The one that was asked for, or else the person's own page.
    pub(super) fn or_account(text: Option<&str>) -> Self {
        text.and_then(Self::parse).unwrap_or_else(|| Self("/account".to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of a page of this room that goes there afterwards.
    pub(super) fn from(&self, page: &str) -> String {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &self.0).finish();
        format!("{page}?{query}")
    }
}

/// The page on which people of an organisation sign in; without one, the page that asks for it.
pub(super) fn page_of(org: Option<&OrgName>) -> String {
    org.map_or_else(|| "/sign-in".to_owned(), |org| format!("/sign-in/{org}"))
}

#[cfg(test)]
mod tests {
    use super::ReturnTo;

    #[test]
    fn only_paths_of_ours() {
        for good in [
            "/",
            "/account",
            "/approve/apr_0",
            "/authorize?client_id=https%3A%2F%2Fc.example%2F&state=a+b",
            "/console?x=//evil.example",
        ] {
            assert!(ReturnTo::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "account",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https:evil.example",
            "https://evil.example",
            "https:/evil.example",
            "javascript:alert(1)",
            "%2f%2fevil.example",
            "/%2f/evil.example",
            "/%2fevil.example",
            "/%5cevil.example",
            "@evil.example",
            "/@evil.example",
            "user@evil.example",
            "evil.example.",
            ".evil.example",
            "http://127.0.0.1:1@evil.example/",
            "/..//evil.example",
            "/a/../../evil",
            "/./evil",
            "/a//evil",
            " /account",
            "/account\r\nx: y",
            "/acc\u{e4}unt",
            "/account#x",
            "HTTPS://EVIL.EXAMPLE:443/",
            "/\u{ff0f}evil.example",
            "data:text/html,x",
            "?x",
            "/a\0b",
        ] {
            assert!(ReturnTo::parse(bad).is_none(), "{bad}");
        }
        assert!(ReturnTo::parse(&format!("/{}", "a".repeat(2048))).is_none());
        assert_eq!(ReturnTo::or_account(Some("//evil")).as_str(), "/account");
    }
}
