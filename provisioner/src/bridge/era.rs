//! Which MCP a server speaks. `server/discover` is asked first, since a server that speaks both is locked to the era of
//! the first message; whoever does not know it gets the handshake.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;

use crate::bridge::envelope::{
    CAPABILITIES_KEY, CLIENT_KEY, Fields, LEGACY, MODERN, SERVER_KEY, VERSION_KEY, quote,
};

/// The era of a server: a property of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2026-07-28: each request describes itself.
    Modern,
    /// 2025-11-25 and before: a handshake, then a session.
    Legacy,
}

/// What is known about a server after it greeted us.
#[derive(Debug, Clone)]
pub(crate) enum Greeting {
    /// It answers `server/discover` itself.
    Modern,
    /// We answer `server/discover` from its handshake.
    Legacy(Handshake),
}

impl Greeting {
    pub(crate) fn era(&self) -> Era {
        match self {
            Self::Modern => Era::Modern,
            Self::Legacy(_) => Era::Legacy,
        }
    }

    /// The revision the server speaks.
    pub(crate) fn protocol(&self) -> &str {
        match self {
            Self::Modern => MODERN,
            Self::Legacy(handshake) => &handshake.protocol,
        }
    }
}

/// The answer to `initialize`.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    pub(crate) protocol: String,
    /// The result of `server/discover` in its stead.
    pub(crate) discover: Bytes,
    offers: BTreeSet<Offer>,
}

/// What an older server may offer beyond answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Offer {
    Logging,
    ToolsChanges,
    PromptsChanges,
    ResourcesChanges,
    ResourcesSubscribe,
}

impl Handshake {
    /// Reads an initialize result; `None` if it is none.
    pub(crate) fn parse(result: &[u8]) -> Option<Self> {
        let fields = Fields::parse(std::str::from_utf8(result).ok()?)?;
        let protocol = fields.text("protocolVersion")?;
        let mut capabilities = Fields::parse(fields.get("capabilities").unwrap_or("{}"))?;
        let flag = |capability: &str, name: &str| {
            let inner = capabilities.get(capability).and_then(Fields::parse);
            inner.is_some_and(|inner| inner.get(name) == Some("true"))
        };
        let mut offers = BTreeSet::new();
        for (capability, name, offer) in [
            ("tools", "listChanged", Offer::ToolsChanges),
            ("prompts", "listChanged", Offer::PromptsChanges),
            ("resources", "listChanged", Offer::ResourcesChanges),
            ("resources", "subscribe", Offer::ResourcesSubscribe),
        ] {
            if flag(capability, name) {
                offers.insert(offer);
            }
        }
        if capabilities.get("logging").is_some() {
            offers.insert(Offer::Logging);
        }
        // Tasks of 2025-11-25 are another protocol than the tasks extension of 2026-07-28.
        capabilities.retain(|name| name != "tasks");
        let mut discover = format!(
            "{{\"resultType\":\"complete\",\"supportedVersions\":[{}],\"capabilities\":{}",
            quote(MODERN),
            capabilities.json()
        );
        if let Some(instructions) = fields.get("instructions") {
            discover.push_str(",\"instructions\":");
            discover.push_str(instructions);
        }
        discover.push_str(",\"ttlMs\":60000,\"cacheScope\":\"private\"");
        if let Some(server) = fields.get("serverInfo") {
            let _ = write!(discover, ",\"_meta\":{{{}:{server}}}", quote(SERVER_KEY));
        }
        discover.push('}');
        Some(Self { protocol, discover: discover.into(), offers })
    }

    pub(crate) fn offers(&self, offer: Offer) -> bool {
        self.offers.contains(&offer)
    }
}

fn client() -> String {
    format!("{{\"name\":\"ambit\",\"version\":{}}}", quote(env!("CARGO_PKG_VERSION")))
}

/// Parameters of the `server/discover` we probe with.
pub(crate) fn probe() -> String {
    format!(
        "{{\"_meta\":{{\"{VERSION_KEY}\":\"{MODERN}\",\"{CAPABILITIES_KEY}\":{{}},\"{CLIENT_KEY}\":{}}}}}",
        client()
    )
}

/// Parameters of `initialize`. We declare nothing: what a shared server asks of its client cannot be attributed to a caller.
pub(crate) fn initialize() -> String {
    format!("{{\"protocolVersion\":\"{LEGACY}\",\"capabilities\":{{}},\"clientInfo\":{}}}", client())
}

/// Whether a discover result offers the revision the gateway speaks.
pub(crate) fn offers_modern(result: &[u8]) -> bool {
    std::str::from_utf8(result)
        .ok()
        .and_then(Fields::parse)
        .and_then(|fields| serde_json::from_str::<Vec<String>>(fields.get("supportedVersions")?).ok())
        .is_some_and(|versions| versions.iter().any(|version| version == MODERN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_becomes_a_discovery() {
        let handshake = Handshake::parse(
            br#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"tasks":{},"x/y":{"z":1}},
                "serverInfo":{"name":"s","version":"1","icons":[]},"instructions":"be kind"}"#,
        )
        .unwrap();
        assert!(handshake.offers(Offer::ToolsChanges));
        assert!(!handshake.offers(Offer::ResourcesSubscribe) && !handshake.offers(Offer::Logging));
        let found: serde_json::Value = serde_json::from_slice(&handshake.discover).unwrap();
        assert_eq!(
            found,
            serde_json::json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": true}, "x/y": {"z": 1}},
                "instructions": "be kind", "ttlMs": 60000, "cacheScope": "private",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1", "icons": []}}
            })
        );
        assert!(Handshake::parse(b"{}").is_none());
        assert!(offers_modern(br#"{"supportedVersions":["2025-11-25","2026-07-28"]}"#));
        assert!(!offers_modern(br#"{"supportedVersions":["2027-01-01"]}"#));
        assert!(serde_json::from_str::<serde_json::Value>(&probe()).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&initialize()).is_ok());
    }
}
