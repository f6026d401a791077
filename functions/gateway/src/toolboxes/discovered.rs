//! What servers say of themselves.

use serde_json::{Map, Value};

/// What a server said of itself when it was looked at: `servers.discovered`.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Discovered {
    /// Its capabilities, as in `server/discover`.
    pub(crate) capabilities: Map<String, Value>,
    /// Its instructions for models.
    pub(crate) instructions: Option<String>,
    /// Names of its prompts.
    pub(crate) prompts: Vec<String>,
    /// URIs of its resources.
    pub(crate) resources: Vec<String>,
    /// URI templates of its resources.
    pub(crate) templates: Vec<String>,
}

impl Discovered {
    /// Reads what is stored; what can't be read offers nothing.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether the server has a capability.
    pub(crate) fn has(&self, capability: &str) -> bool {
        self.capabilities.contains_key(capability)
    }

    /// Whether a capability has a switch on, such as `resources.subscribe`.
    pub(crate) fn offers(&self, capability: &str, switch: &str) -> bool {
        self.capabilities.get(capability).and_then(|capability| capability.get(switch))
            == Some(&Value::Bool(true))
    }
}
