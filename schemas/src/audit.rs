//! The audit event: written before an access happens (intent), after it ended (outcome), or when it was refused (denial).
//!
//! The bytes kept are the event's RFC 8785 text, and the leaf hash covers exactly these bytes. No field can hold a secret: secrets
//! are types that do not serialize.

use sha2::Digest as _;

use crate::decision::DecisionRecord;
use crate::ids::{ConnectionId, EventId, OrgId, Sha256Hex, Timestamp, hex};
use crate::names::{AgentName, ProviderName, ServerName, ToolboxName, UserName};

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct AuditEvent {
    /// Version of this shape.
    pub v: u8,
    /// Its id.
    pub id: EventId,
    /// The tenant whose trail it is in.
    pub org: OrgId,
    /// When, by the gateway's clock.
    pub at: Timestamp,
    /// Before, after, refused, or whole in itself.
    pub phase: Phase,
    /// The intent that this outcome ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<EventId>,
    /// Who.
    pub actor: Actor,
    /// What was done: an MCP method, or a management action.
    pub method: String,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// On what grounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// The account that was used, connected, shared or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<AccountRef>,
    /// The intent that a use of an account is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<EventId>,
    /// SHA-256 of the arguments as they were sent; never the arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Sha256Hex>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it was refused before a decision was asked for, or what a management action did: for the auditor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// W3C trace context of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Where an event stands to the access it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Allowed, and about to happen.
    Intent,
    /// How an intent ended.
    Outcome,
    /// Refused.
    Denial,
    /// Whole in itself: a list answered from our own store, a management action.
    Note,
}

impl Phase {
    /// The word in the `phase` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Denial => "denial",
            Self::Note => "note",
        }
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Actor {
    /// The agent, if one acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// On behalf of whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// What proved it: `key:<API key id>`, `jwt:<issuer>`, `person-key:<API key id>`, `session:<session id>`, `link`,
    /// `idp:<identity provider>`, `operator`, `gateway`.
    pub credential: String,
}

/// What is acted upon.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Subject {
    /// The toolbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolbox: Option<ToolboxName>,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// Tool name, prompt name or URI, as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Which account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct AccountRef {
    /// The connection.
    pub id: ConnectionId,
    /// Where it is, if that is known at this point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// Which version of its credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// How an access ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Outcome {
    /// In one word.
    pub ended: Ended,
    /// Bytes of the answer that left for the caller.
    pub bytes: u64,
    /// From intent to end, in milliseconds.
    pub duration_ms: u64,
}

/// The ways an access can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The server answered.
    Answered,
    /// The server answered with a JSON-RPC error.
    Refused,
    /// The server asks for more input.
    InputRequired,
    /// The caller went away.
    Cancelled,
    /// The server or the provisioner failed.
    Failed,
    /// Nobody knows: written by the reaper.
    Unknown,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// RFC 8785 text of the event.
    pub text: String,
    /// SHA-256 over a zero byte and the text: a leaf of an RFC 6962 tree; in hexadecimal.
    pub leaf: String,
}

impl AuditEvent {
    /// The event as it is kept.
    ///
    /// # Errors
    /// Only if a value has no JSON form, which these types exclude.
    pub fn seal(&self) -> Result<Sealed, serde_json::Error> {
        let text = crate::canonical::to_string(self)?;
        let leaf = leaf_hash(&text);
        Ok(Sealed { text, leaf })
    }
}

/// The leaf hash of kept text (RFC 6962 §2.1: a leaf is prefixed by a zero byte, so that it can't pass for a node).
pub fn leaf_hash(text: &str) -> String {
    let mut hash = sha2::Sha256::new();
    hash.update([0]);
    hash.update(text);
    hex(&hash.finalize())
}
