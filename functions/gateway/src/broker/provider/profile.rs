//! The provider table: what is known of each kind of provider, as data (`table.json`). Quirks are fields; there is no code for a
//! provider by its name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// How somebody connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// With a consent there (RFC 6749 §4.1).
    Oauth,
    /// By entering a key, on our page.
    Key,
    /// By entering a user name and a password, on our page.
    Basic,
}

/// Where endpoints come from that the table does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Discovery {
    /// From the issuer (OpenID Connect Discovery 1.0).
    Openid,
    /// From an MCP server: its authorization server (RFC 9728), and what that says of itself (RFC 8414).
    Mcp,
}

/// Whether PKCE (RFC 7636) is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pkce {
    /// It is.
    #[default]
    Send,
    /// It would change what our client is there.
    Omit,
}

/// How we prove at the token endpoint who we are (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proof {
    /// With the secret in the body.
    #[default]
    Post,
    /// By HTTP Basic.
    Basic,
}

/// What token requests are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenBody {
    /// As RFC 6749 has it.
    #[default]
    Form,
    Json,
}

/// What stands between scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum Separator {
    /// As RFC 6749 §3.3 has it.
    #[default]
    #[serde(rename = " ")]
    Space,
    #[serde(rename = ",")]
    Comma,
}

impl Separator {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Space => " ",
            Self::Comma => ",",
        }
    }
}

/// Whether a refresh token is replaced when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rotates {
    Never,
    Always,
    /// As the client is set up there.
    Optional,
}

/// How tokens are refreshed.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Refresh {
    pub(crate) rotates: Rotates,
    /// The old refresh token is good for so long after it was replaced.
    #[serde(default)]
    pub(crate) grace_seconds: Option<u64>,
    /// A refresh token ends after so long without use.
    #[serde(default)]
    pub(crate) idle_seconds: Option<u64>,
    /// And after so long in any case.
    #[serde(default)]
    pub(crate) absolute_seconds: Option<u64>,
}

/// Where it stands who somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    /// In the token endpoint's answer.
    Reply,
    /// In the ID token that came with it.
    IdToken,
    /// At the account endpoint.
    Account,
}

/// How the account endpoint is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum With {
    #[default]
    Get,
    Post,
}

/// Who somebody is there.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) from: Source,
    #[serde(default)]
    pub(crate) with: With,
    /// What is sent to the account endpoint, as JSON.
    #[serde(default)]
    pub(crate) body: Option<Value>,
    /// Where the id is that never changes: all of these together (JSON pointers).
    pub(crate) id: Vec<String>,
    /// Where the name is that people know: the first of these that is there.
    pub(crate) label: Vec<String>,
}

/// Something else that is asked once there is a token.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Lookup {
    pub(crate) endpoint: String,
    /// Members of the credential, and where each is in the answer.
    pub(crate) keep: BTreeMap<String, String>,
}

/// How a consent is taken back there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Revoke {
    /// It can't be.
    None,
    /// With RFC 7009.
    Rfc7009,
    /// By sending the token as a bearer token.
    Bearer,
    /// `DELETE /applications/{client_id}/grant`.
    GithubGrant,
}

/// How redirect URIs are compared there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Redirects {
    #[default]
    Exact,
    /// Whatever begins like it is taken too, unless that is switched off.
    Prefix,
}

/// What the value of a setting must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SettingForm {
    /// The name of a host.
    Host,
    /// One segment of a path.
    Segment,
    Url,
    /// Several words.
    Words,
    /// The name of a header.
    Header,
    Text,
    /// A JSON pointer (RFC 6901).
    Pointer,
}

/// What an organisation may, or must, say about its provider of this kind.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Setting {
    pub(crate) form: SettingForm,
    /// For people.
    pub(crate) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
}

/// Where we are registered as its client.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    /// The page; empty where there is none.
    pub(crate) at: String,
    /// What to enter there.
    pub(crate) enter: String,
}

/// A kind of provider.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Profile {
    pub(crate) kind: String,
    /// For people.
    pub(crate) title: String,
    pub(crate) way: Way,
    #[serde(default)]
    pub(crate) discovery: Option<Discovery>,
    pub(crate) register: Register,
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, Setting>,
    /// `authorize`, `token`, `account`, `revoke`, `issuer`, `jwks`, and those of lookups; with `{setting}` in them.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<String, String>,
    /// Those that differ where `host` is another than by default.
    #[serde(default)]
    pub(crate) elsewhere: BTreeMap<String, String>,
    /// What scopes mean, as what somebody lets an agent do.
    #[serde(default)]
    pub(crate) words: BTreeMap<String, String>,
    /// Scopes that it answers with for others that were asked for.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, String>,
    /// What is asked for if nothing else is said.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Scopes that are asked for and that answers need not name.
    #[serde(default)]
    pub(crate) implied: Vec<String>,
    #[serde(default)]
    pub(crate) asked_separator: Separator,
    #[serde(default)]
    pub(crate) granted_separator: Separator,
    #[serde(default = "scope")]
    pub(crate) scope_parameter: String,
    /// The scope without which there is no refresh token.
    #[serde(default)]
    pub(crate) offline_scope: Option<String>,
    /// What else stands in authorization requests.
    #[serde(default)]
    pub(crate) authorize_with: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) pkce: Pkce,
    #[serde(default)]
    pub(crate) proof: Proof,
    #[serde(default)]
    pub(crate) token_body: TokenBody,
    /// Where the token is in the answer, if it is not the answer (a JSON pointer).
    #[serde(default)]
    pub(crate) token_at: Option<String>,
    /// Errors come with status 200.
    #[serde(default)]
    pub(crate) errors_in_success: bool,
    /// Answers write scopes with other capitals, or with a host before them.
    #[serde(default)]
    pub(crate) fold_scopes: bool,
    /// How long an access token is taken to live if the answer does not say.
    #[serde(default)]
    pub(crate) unstated_seconds: Option<u64>,
    pub(crate) refresh: Refresh,
    #[serde(default)]
    pub(crate) account: Option<Account>,
    #[serde(default)]
    pub(crate) lookups: Vec<Lookup>,
    /// Members of the token endpoint's answer that belong to the credential.
    #[serde(default)]
    pub(crate) keep: BTreeMap<String, String>,
    /// Those of them that are addresses, and the domains that they must be in: tokens are sent there.
    #[serde(default)]
    pub(crate) hosts: BTreeMap<String, Vec<String>>,
    pub(crate) revoke: Revoke,
    #[serde(default)]
    pub(crate) redirects: Redirects,
    /// What operators should know.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

fn scope() -> String {
    "scope".to_owned()
}

static TABLE: &str = include_str!("table.json");

/// Parsed once. A table that does not parse has no rows, and does not get past the test below.
static KINDS: LazyLock<Vec<Profile>> = LazyLock::new(|| serde_json::from_str(TABLE).unwrap_or_default());

/// Every kind of provider, in the order of the table.
pub(crate) fn kinds() -> &'static [Profile] {
    &KINDS
}

impl Profile {
    /// The kind of that name.
    pub(crate) fn find(kind: &str) -> Option<&'static Self> {
        kinds().iter().find(|profile| profile.kind == kind)
    }

    /// What a scope means, in words; the scope itself where nobody wrote them.
    pub(crate) fn words_for<'a>(&'a self, scope: &'a str) -> &'a str {
        self.words.get(scope).map_or(scope, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let kinds: Vec<Profile> = serde_json::from_str(TABLE).unwrap();
        let names: Vec<&str> = kinds.iter().map(|profile| profile.kind.as_str()).collect();
        assert_eq!(
            names,
            [
                "github",
                "github-app",
                "google",
                "microsoft",
                "slack",
                "gitlab",
                "atlassian",
                "notion",
                "linear",
                "dropbox",
                "salesforce",
                "oidc",
                "mcp",
                "api-key",
                "basic"
            ]
        );
        for Profile { kind, way, discovery, endpoints, elsewhere, account, lookups, revoke, .. } in &kinds {
            assert_eq!(*way == Way::Oauth && discovery.is_none(), !endpoints.is_empty(), "{kind}");
            if !endpoints.is_empty() {
                assert!(endpoints.contains_key("authorize") && endpoints.contains_key("token"), "{kind}");
                assert_eq!(*revoke != Revoke::None, endpoints.contains_key("revoke"), "{kind}");
                assert!(account.is_some(), "{kind}: nobody is anybody there");
            }
            let needs = |source| account.as_ref().is_some_and(|account| account.from == source);
            if discovery.is_none() && *way == Way::Oauth {
                assert_eq!(needs(Source::Account), endpoints.contains_key("account"), "{kind}");
                assert_eq!(needs(Source::IdToken), endpoints.contains_key("jwks"), "{kind}");
            }
            for lookup in lookups {
                assert!(endpoints.contains_key(&lookup.endpoint), "{kind}");
            }
            for (name, url) in endpoints.iter().chain(elsewhere) {
                assert!(url.starts_with("https://"), "{kind}: {name}");
            }
        }
        for profile in &kinds {
            let placeholders = profile.endpoints.values().chain(profile.elsewhere.values());
            for name in
                placeholders.flat_map(|url| url.split('{').skip(1)).filter_map(|rest| rest.split_once('}'))
            {
                let known = ["client_id", "tenantid"].contains(&name.0)
                    || profile.settings.get(name.0).is_some_and(|setting| setting.default.is_some());
                assert!(known, "{}: what is `{}`?", profile.kind, name.0);
            }
            for scope in profile.scopes.iter().chain(&profile.offline_scope) {
                let said = profile.words.contains_key(scope);
                assert!(said, "{}: nobody knows what `{scope}` means", profile.kind);
            }
            for (scope, words) in &profile.words {
                assert!(words.chars().next().is_some_and(char::is_lowercase), "{scope}: {words}");
                assert!(!words.ends_with('.'), "{scope}: {words}");
            }
        }
    }
}
