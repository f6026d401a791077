//! The circumstances of a request.

use std::collections::{BTreeMap, BTreeSet};

use super::{OrgFacts, ServerFacts, ToolFacts, UserFacts};
use crate::ids::Timestamp;

/// The circumstances of a request: `context.call`, `context.args` and `context.input`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ContextFacts {
    /// The gateway's clock, never the client's.
    pub now: Timestamp,
    /// The organisation in the URL.
    pub org: OrgFacts,
    /// On behalf of whom, if anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserFacts>,
    /// The scopes of the token that was shown.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub token_scopes: BTreeSet<String>,
    /// Labels of what this conversation has already read, such as `secret`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub taint: BTreeSet<String>,
    /// A person's approval of exactly this call, already verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Arguments that some policy looks into, flattened (`a.b`), scalars as text. Others are not here: see the digest in the audit event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Arguments that some policy looks into by their types (`context.input`), by name, as they were sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input: BTreeMap<String, serde_json::Value>,
    /// The OAuth client through which an agent acts for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The server that a connection is used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Box<ServerFacts>>,
    /// The tool of that server, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Box<ToolFacts>>,
    /// What a publication does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<Publication>,
}

/// What a publication of policies does, beyond adding permits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Publication {
    /// A forbid that was there is gone, or is not the same any more.
    #[serde(default)]
    pub removes_forbid: bool,
    /// Who proposed it, if another accepts it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<UserFacts>,
    /// Somebody who is alone says so, and why, on record.
    #[serde(default)]
    pub break_glass: bool,
}

impl ContextFacts {
    /// Nothing but when and where.
    pub fn at(now: Timestamp, org: OrgFacts) -> Self {
        Self {
            now,
            org,
            user: None,
            token_scopes: BTreeSet::new(),
            taint: BTreeSet::new(),
            approval: None,
            args: BTreeMap::new(),
            input: BTreeMap::new(),
            client: None,
            server: None,
            tool: None,
            publication: None,
        }
    }
}

/// A verified approval.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Approval {
    /// Who approved.
    pub by: UserFacts,
    /// When.
    pub at: Timestamp,
}
