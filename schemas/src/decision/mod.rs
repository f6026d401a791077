//! The decision record: the atom of the system. Explain, replay, shadow, audit and approval all read it.
//!
//! A record holds the request, the facts the engine was shown, the policy set by hash, and what it decided. That is enough to
//! explain the decision later and to run it again: the engine builds its entities from exactly these types, live and in replay.

mod action;
mod context;
mod principal;
mod resource;

pub use action::Action;
pub use context::{Approval, ContextFacts, Publication};
pub use principal::{AgentFacts, Grants, OrgFacts, Principal, UserFacts};
pub use resource::{ConnectionFacts, ItemFacts, ResourceFacts, ServerFacts, ToolFacts, ToolboxFacts};

use crate::ids::Sha256Hex;

/// One decision, whole.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct DecisionRecord {
    /// Version of this shape.
    pub v: u8,
    /// What was asked.
    pub request: DecisionRequest,
    /// SHA-256 of the policy set that answered.
    pub policy_set: Sha256Hex,
    /// What it answered.
    pub decision: Decision,
    /// What a draft beside it would have answered, while one is on trial. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// What a draft on trial would have answered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Shadow {
    /// SHA-256 of the draft.
    pub policy_set: Sha256Hex,
    /// Its answer.
    pub decision: Decision,
}

/// What the engine is asked: may this principal do this to that, here and now?
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct DecisionRequest {
    /// Who.
    pub principal: Principal,
    /// What.
    pub action: Action,
    /// To what.
    pub resource: ResourceFacts,
    /// Under which circumstances.
    pub context: ContextFacts,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Decision {
    /// Allow or deny.
    pub effect: Effect,
    /// The policies that decided, by id, sorted. Empty on a deny: nothing permitted.
    pub policies: Vec<String>,
    /// Policies that failed to evaluate. Any entry denies, whatever the rest says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Values of `@advice` on the deciding forbids, sorted: stable words for machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
    /// Values of `@obligation`, if every deciding forbid carries one: what would turn this into an allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
}

/// Allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// At least one permit and no forbid.
    Allow,
    /// Everything else.
    Deny,
}

/// Whether a principal, server or connection is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use.
    Active,
    /// Switched off; can come back.
    Suspended,
    /// Gone; kept because records refer to it.
    Deleted,
}

/// How far we trust who publishes a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Our own.
    FirstParty,
    /// Reviewed.
    Verified,
    /// Widely used, not reviewed.
    Community,
    /// Anyone's.
    Untrusted,
}

/// Where a tool definition stands: only an approved one is listed and callable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefinitionState {
    /// Seen, not looked at.
    New,
    /// Approved as it is.
    Approved,
    /// No longer what was approved.
    Changed,
    /// Refused.
    Quarantined,
}
