//! What a deployment decides.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, header};
use url::{Host, Url};

use crate::limits::Rates;
use crate::secret::Secret;

/// Secret with the root key: 32 bytes in base64url.
pub(crate) const ROOT_KEY: &str = "AMBIT_ROOT_KEY";
/// Secret with the key shared with provisioners: 32 bytes in base64url. Derived from the root key if there is none.
pub(crate) const PROVISIONER_KEY: &str = "AMBIT_PROVISIONER_KEY";

/// Why a gateway does not start.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadSettings {
    /// A secret is not there.
    #[error("secret `{0}` is missing")]
    Missing(&'static str),
    /// A setting makes no sense.
    #[error("`{0}`: {1}")]
    IllFormed(&'static str, String),
}

/// Settings of a gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients find this gateway, without a slash at the end: scheme and authority of every URL we build.
    pub(crate) public_url: String,
    public: Url,
    /// Where the provisioner is, if there is one.
    pub(crate) provisioner_url: Option<String>,
    /// Web origins besides our own that may call.
    pub(crate) origins: Vec<String>,
    /// The longest one call may take.
    pub(crate) call_limit: Duration,
    /// How long a subscription stream is kept open before the client is asked to open the next.
    pub(crate) listen_limit: Duration,
    /// Whether clients may register themselves (RFC 7591).
    pub(crate) registration: bool,
    /// Raised to replace the keys that sign access tokens, after a leak.
    pub(crate) signing_generation: u32,
    /// How often somebody may ask.
    pub(crate) rates: Rates,
    /// How many agents, people, keys, toolboxes, servers and so on an organisation may have, of each.
    pub(crate) quota: i64,
    /// The root key of the vault.
    pub(crate) vault_root: String,
    /// Root keys that still unwrap.
    pub(crate) vault_roots_before: Vec<String>,
    /// Where the key services of AWS and Google are, if not at their usual addresses.
    pub(crate) vault_endpoint: Option<String>,
}

impl Settings {
    /// Settings with the defaults: a call may take 5 minutes, a subscription stream lives 10.
    ///
    /// # Errors
    /// The URL is not `http(s)://authority`.
    pub fn new(public_url: &str) -> Result<Self, BadSettings> {
        let refuse = |why: &str| BadSettings::IllFormed("AMBIT_PUBLIC_URL", why.to_owned());
        let public = Url::parse(public_url).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(public.scheme(), "http" | "https") || !public.has_host() || public.path() != "/" {
            return Err(refuse("it must be `http(s)://host[:port]`, without a path"));
        }
        Ok(Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            public,
            provisioner_url: None,
            origins: Vec::new(),
            call_limit: Duration::from_mins(5),
            listen_limit: Duration::from_mins(10),
            registration: true,
            signing_generation: 0,
            rates: Rates::default(),
            quota: 10_000,
            vault_root: "local".to_owned(),
            vault_roots_before: Vec::new(),
            vault_endpoint: None,
        })
    }

    /// With a provisioner.
    #[must_use]
    pub fn provisioner(mut self, url: Option<String>) -> Self {
        self.provisioner_url =
            url.map(|url| url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
        self
    }

    /// With web origins that may call besides our own.
    #[must_use]
    pub fn origins(mut self, origins: Vec<String>) -> Self {
        self.origins = origins;
        self
    }

    /// With other limits on how long a call and a subscription stream may take.
    #[must_use]
    pub fn limits(mut self, call: Duration, listen: Duration) -> Self {
        self.call_limit = call;
        self.listen_limit = listen;
        self
    }

    /// With or without clients that register themselves (RFC 7591), and with another generation of the keys that sign access tokens:
    /// raising it makes all tokens of the one before worthless at once.
    #[must_use]
    pub fn authorization_server(mut self, registration: bool, signing_generation: u32) -> Self {
        self.registration = registration;
        self.signing_generation = signing_generation;
        self
    }

    /// With other rates, and another quota of an organisation: of agents, of people, of keys, and so on.
    #[must_use]
    pub fn bounds(mut self, rates: Rates, quota: u32) -> Self {
        self.rates = rates;
        self.quota = quota.into();
        self
    }

    /// With another root key of the vault (`local` if there is none), and with those before it, which still unwrap: separated by spaces or
    /// commas. `endpoint` is where the key services of AWS and Google are asked instead of at their usual addresses.
    #[must_use]
    pub fn vault(mut self, root: Option<&str>, before: &str, endpoint: Option<&str>) -> Self {
        let given =
            |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        self.vault_root = given(root).unwrap_or_else(|| "local".to_owned());
        self.vault_roots_before =
            before.split([',', ' ']).filter(|text| !text.is_empty()).map(str::to_owned).collect();
        self.vault_endpoint = given(endpoint);
        self
    }

    /// The names of the secrets that these settings call for, beside the root key: for hosts that have to look for each.
    pub fn secrets(&self) -> Vec<String> {
        let roots = std::iter::once(&self.vault_root).chain(&self.vault_roots_before);
        crate::vault::secrets(roots.map(String::as_str))
    }

    /// Whether a request may name us so in `Host`: our own authority or, for a gateway on loopback, any loopback name.
    /// This is what stops DNS rebinding.
    pub(crate) fn is_our_host(&self, host: &str) -> bool {
        Url::parse(&format!("{}://{host}/", self.public.scheme())).is_ok_and(|url| {
            (url.host() == self.public.host()
                && url.port_or_known_default() == self.public.port_or_known_default())
                || (is_loopback(&self.public) && is_loopback(&url))
        })
    }

    /// Whether a page of this origin may call us.
    pub(crate) fn is_allowed_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin) || self.is_our_origin(origin)
    }

    /// What passkeys are bound to: our name (Web Authentication §5.1.2). An IP address can't have any.
    pub(crate) fn relying_party(&self) -> Option<&str> {
        self.public.domain()
    }

    /// Whether a page of this origin is ours; for a gateway on loopback, any loopback origin is.
    pub(crate) fn is_our_origin(&self, origin: &str) -> bool {
        Url::parse(origin).is_ok_and(|url| {
            url.origin() == self.public.origin() || (is_loopback(&self.public) && is_loopback(&url))
        })
    }

    /// Whether a form was sent by a page of our own: the browser says where it came from (Fetch, "Origin" and "Sec-Fetch-Site").
    pub(crate) fn is_own_form(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let origin = text(header::ORIGIN).is_some_and(|origin| self.is_our_origin(origin));
        let site = text(HeaderName::from_static("sec-fetch-site"));
        origin && site.is_none_or(|site| site == "same-origin")
    }

    /// Whether we are on loopback: a gateway that somebody tries out.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.public)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(crate) fn decode_key(key: &Secret) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(key.expose().trim()).ok().filter(|bytes| bytes.len() == 32)
}

pub(crate) fn encode_key(key: &[u8]) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let local = Settings::new("http://127.0.0.1:8787").unwrap();
        for host in ["localhost:8787", "127.0.0.1:8787", "[::1]:8787", "localhost"] {
            assert!(local.is_our_host(host), "{host}");
        }
        assert!(!local.is_our_host("evil.example:8787"));
        assert!(local.is_allowed_origin("http://localhost:3000"));
        assert!(!local.is_allowed_origin("http://evil.example"));
        assert!(!local.is_allowed_origin("null"));

        let public =
            Settings::new("https://gw.example").unwrap().origins(vec!["https://chat.example".into()]);
        assert!(public.is_our_host("gw.example") && public.is_our_host("gw.example:443"));
        assert!(!public.is_our_host("localhost"));
        assert!(
            public.is_allowed_origin("https://gw.example")
                && public.is_allowed_origin("https://chat.example")
        );
        assert!(!public.is_allowed_origin("http://gw.example"));
        assert!(Settings::new("https://gw.example/path").is_err());
    }
}
