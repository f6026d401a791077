//! How a server wants a credential: where it looks, and in which form.

use zeroize::Zeroizing;

use crate::text::text;

/// Headers that say how a message travels, what it holds, or who sent it on: never a credential's place.
fn is_free_header(name: &str) -> bool {
    const TAKEN: [&str; 12] = [
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "origin",
        "forwarded",
        "via",
        "last-event-id",
    ];
    let name = name.to_ascii_lowercase();
    let prefixes = ["content-", "accept", "mcp-", "proxy-", "x-forwarded-", "sec-", "ambit-"];
    !TAKEN.contains(&name.as_str()) && !prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables that say how a program is loaded, what it trusts or where it connects: whoever sets them owns the program.
fn is_free_variable(name: &str) -> bool {
    const TAKEN: [&str; 17] = [
        "PATH",
        "HOME",
        "IFS",
        "ENV",
        "BASH_ENV",
        "SHELLOPTS",
        "GCONV_PATH",
        "NODE_OPTIONS",
        "NODE_PATH",
        "NODE_EXTRA_CA_CERTS",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "RUBYOPT",
        "RUBYLIB",
        "OPENSSL_CONF",
    ];
    let prefixes = ["LD_", "DYLD_", "PYTHON", "PERL5", "SSL_CERT_", "GIT_", "AMBIT_"];
    !TAKEN.contains(&name)
        && !name.ends_with("_PROXY")
        && !prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The second label of a prefix is who owns it: `com.mcp.x/` is reserved as `mcp/` is (MCP 2026-07-28, `_meta`).
fn is_free_meta_key(key: &str) -> bool {
    let Some((prefix, name)) = key.split_once('/') else { return false };
    let label = |text: &str| {
        let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(text.bytes().next())
            && edge(text.bytes().last())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    let reserved = |text: &str| text == "mcp" || text == "modelcontextprotocol";
    key.len() <= 128
        && prefix.split('.').all(label)
        && !prefix.split('.').take(2).any(reserved)
        && !name.is_empty()
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

text!(
    /// An HTTP header that a server reads a credential from.
    CredentialHeader, "header for a credential",
    "a header name of at most 64 characters (RFC 9110), such as `Authorization` or `X-API-Key`; not one that says how a message travels or what it holds",
    "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$",
    |text| !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&c))
        && is_free_header(text)
);
text!(
    /// A key of `params._meta` that a server reads a credential from.
    CredentialMetaKey, "`_meta` key for a credential",
    "a prefix of your own and a name, such as `com.example/token`, at most 128 characters; not one of MCP's own",
    "^[A-Za-z0-9.-]+/[A-Za-z0-9._-]+$", is_free_meta_key
);
text!(
    /// An environment variable that a server reads a credential from when it starts.
    CredentialVariable, "environment variable for a credential",
    "1 to 128 of A-Z, 0-9 and `_`, not beginning with a digit, such as `GITHUB_TOKEN`; not one that changes how a program is loaded (`PATH`, `LD_*`, `NODE_OPTIONS`, `PYTHON*`), whom it trusts, or where it connects",
    "^[A-Z_][A-Z0-9_]{0,127}$",
    |text| text.len() <= 128
        && text.bytes().next().is_some_and(|c| c.is_ascii_uppercase() || c == b'_')
        && text.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
        && is_free_variable(text)
);
text!(
    /// A file that a server reads a credential from.
    CredentialFile, "file for a credential",
    "a file directly in `/run/secrets/`, named with 1 to 100 of A-Z, a-z, 0-9, `.`, `_` and `-`, not beginning with a dot",
    "^/run/secrets/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$",
    |text| text.strip_prefix("/run/secrets/").is_some_and(|name| {
        !name.is_empty()
            && name.len() <= 100
            && !name.starts_with('.')
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
    })
);

/// Where a server looks for a credential.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum Placement {
    /// In a header of every request; for servers that speak HTTP.
    Header {
        /// Its name.
        name: CredentialHeader,
    },
    /// In `params._meta` of every request; for servers made for it.
    Meta {
        /// Its key.
        key: CredentialMetaKey,
    },
    /// In its environment, when it starts. Such a server runs once per account.
    Env {
        /// Its name.
        name: CredentialVariable,
    },
    /// In a file that is there when it starts. Such a server runs once per account.
    File {
        /// Its path.
        path: CredentialFile,
    },
}

impl Placement {
    /// Whether it is there when the server starts, which then serves that one account only.
    pub fn is_at_start(&self) -> bool {
        match self {
            Self::Env { .. } | Self::File { .. } => true,
            Self::Header { .. } | Self::Meta { .. } => false,
        }
    }
}

impl std::fmt::Display for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header { name } => write!(f, "the header `{name}`"),
            Self::Meta { key } => write!(f, "`_meta` key `{key}`"),
            Self::Env { name } => write!(f, "the environment variable `{name}`"),
            Self::File { path } => write!(f, "the file `{path}`"),
        }
    }
}

/// How a server wants a credential.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Injection {
    /// Where.
    #[serde(flatten)]
    pub at: Placement,
    /// In which form, such as `Bearer {token}`.
    pub value: Template,
}

text!(
    /// A text with places for parts of a credential: `{token}`, and whatever else is known of the account, such as
    /// `{username}` or `{instance_url}`. Braces around anything else are themselves.
    Template, "form of a credential",
    "1 to 2000 characters without control characters (but line breaks), with at least one part such as `{token}`",
    "\\{[a-z][a-z0-9_]*\\}",
    |text| text.chars().count() <= 2000
        && !text.chars().any(|c| c.is_control() && c != '\n')
        && pieces(text).any(|piece| matches!(piece, Piece::Part(_)))
);

enum Piece<'a> {
    Plain(&'a str),
    Part(&'a str),
}

/// Cuts a template at its parts.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    text.split_inclusive('}').flat_map(|chunk| {
        let part = chunk.strip_suffix('}').and_then(|chunk| chunk.rsplit_once('{')).filter(|(_, name)| {
            name.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
                && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        });
        match part {
            Some((plain, name)) => [Some(Piece::Plain(plain)), Some(Piece::Part(name))],
            None => [Some(Piece::Plain(chunk)), None],
        }
        .into_iter()
        .flatten()
    })
}

impl Template {
    /// The names of its parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        pieces(self.as_str()).filter_map(|piece| match piece {
            Piece::Part(name) => Some(name),
            Piece::Plain(_) => None,
        })
    }

    /// The text with its parts filled in.
    ///
    /// # Errors
    /// The name of the first part that there is nothing for.
    pub fn fill<'v>(
        &self,
        mut part: impl FnMut(&str) -> Option<&'v str>,
    ) -> Result<Zeroizing<String>, String> {
        let mut values = Vec::new();
        for piece in pieces(self.as_str()) {
            values.push(match piece {
                Piece::Plain(text) => text,
                Piece::Part(name) => part(name).ok_or_else(|| name.to_owned())?,
            });
        }
        // Of one size from the start: a text that grows leaves copies behind.
        let mut filled = Zeroizing::new(String::with_capacity(values.iter().map(|value| value.len()).sum()));
        for value in values {
            filled.push_str(value);
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_goes_where_it_does_no_harm() {
        for good in ["Authorization", "authorization", "X-API-Key", "cookie", "PRIVATE-TOKEN"] {
            assert!(CredentialHeader::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Host",
            "content-length",
            "Mcp-Name",
            "TE",
            "x y",
            "a:b",
            "Proxy-Authorization",
            "ambit-signature",
        ] {
            assert!(CredentialHeader::parse(bad).is_err(), "{bad}");
        }
        for good in ["GITHUB_PERSONAL_ACCESS_TOKEN", "_X", "PATHS"] {
            assert!(CredentialVariable::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "PATH",
            "LD_PRELOAD",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "HTTPS_PROXY",
            "lower",
            "1X",
            "A=B",
            "A B",
        ] {
            assert!(CredentialVariable::parse(bad).is_err(), "{bad}");
        }
        for good in ["/run/secrets/token", "/run/secrets/google.json"] {
            assert!(CredentialFile::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "/etc/passwd",
            "/run/secrets/",
            "/run/secrets/..",
            "/run/secrets/a/b",
            "/run/secrets/.x",
            "run/secrets/x",
        ] {
            assert!(CredentialFile::parse(bad).is_err(), "{bad}");
        }
        for good in ["com.example/token", "example/github_token"] {
            assert!(CredentialMetaKey::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "token",
            "progressToken",
            "io.modelcontextprotocol/clientInfo",
            "mcp/x",
            "com.mcp.x/y",
            "/x",
            "a/",
            "a..b/x",
        ] {
            assert!(CredentialMetaKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_injection_reads_as_it_is_written() {
        let json = r#"{"in":"header","name":"Authorization","value":"Bearer {token}"}"#;
        let injection: Injection = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&injection).unwrap(), json);
        let refused =
            serde_json::from_str::<Injection>(r#"{"in":"env","name":"LD_PRELOAD","value":"{token}"}"#);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("`LD_PRELOAD` is no environment variable for a credential"), "{refused}");
    }

    #[test]
    fn a_form_is_filled_in() {
        let account = |name: &str| match name {
            "token" => Some("t"),
            "username" => Some("{token}"),
            _ => None,
        };
        let fill = |text: &str| Template::parse(text).unwrap().fill(account).map(|text| text.to_string());
        assert_eq!(fill("Bearer {token}").unwrap(), "Bearer t");
        assert_eq!(
            fill("{username}:{token}").unwrap(),
            "{token}:t",
            "what was filled in is not filled again"
        );
        assert_eq!(fill(r#"{"t":"{token}","A":{}}"#).unwrap(), r#"{"t":"t","A":{}}"#);
        assert_eq!(fill("{token}{nothing}").unwrap_err(), "nothing");
        for bad in ["", "Bearer", "{Token}", "{}", "{token", "a\r{token}", "{tok en}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
