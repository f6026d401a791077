//! Toolboxes, their servers and tools: what a call can be about.

pub(crate) mod definition;
mod discovered;
pub(crate) mod names;

pub(crate) use discovered::Discovered;

use std::collections::BTreeSet;

use schemas::decision::{DefinitionState, OrgFacts, ServerFacts, Status, ToolFacts, Trust};
use schemas::ids::{ProviderId, ServerId, Sha256Hex, ToolboxId};
use schemas::names::{ProviderName, ServerName, ToolboxName};
use schemas::provisioner::Injection;

use crate::broker::Account;

/// A toolbox.
#[derive(Debug, Clone)]
pub(crate) struct Toolbox {
    pub(crate) id: ToolboxId,
    pub(crate) name: ToolboxName,
    pub(crate) org: OrgFacts,
    /// The organisation's policy set.
    pub(crate) policy_set: Sha256Hex,
    /// A draft that is on trial beside it.
    pub(crate) shadow_set: Option<Sha256Hex>,
    /// Whether the caller was granted all of it.
    pub(crate) granted: bool,
}

/// A server of a toolbox.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) id: ServerId,
    pub(crate) name: ServerName,
    /// What tells its names apart in this toolbox; empty for none.
    pub(crate) prefix: String,
    pub(crate) status: Status,
    pub(crate) trust: Trust,
    pub(crate) place: Place,
    /// Whether the caller was granted all of it.
    pub(crate) granted: bool,
    /// Whose accounts it acts on, if any.
    pub(crate) acts_on: Option<ActsOn>,
}

/// Whose accounts a server acts on, and how it gets their credentials.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActsOn {
    pub(crate) provider: ProviderName,
    pub(crate) provider_id: ProviderId,
    pub(crate) kind: String,
    pub(crate) injection: Vec<Injection>,
    /// What all its tools need of an account.
    pub(crate) scopes: BTreeSet<String>,
    /// The account that this caller's call would use, where that was looked up and there is one.
    pub(crate) account: Option<Account>,
}

/// Where a server is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In a container: the JSON of a workload spec without organisation and toolbox.
    Workload(String),
    /// At an address.
    Remote(String),
}

/// A tool of a server, as approved.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) definition: String,
    pub(crate) definition_hash: Sha256Hex,
    pub(crate) state: DefinitionState,
    pub(crate) flags: Flags,
    /// Arguments that `Mcp-Param-*` headers mirror: header name part and path.
    pub(crate) mirrored: Vec<(String, Vec<String>)>,
    /// What it needs of an account, beyond what its server does.
    pub(crate) scopes: BTreeSet<String>,
    /// Whether the caller was granted this tool by name.
    pub(crate) granted: bool,
}

/// What an administrator confirmed of a tool. The defaults are those of the MCP specification for missing hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "they are MCP's four tool annotations, by name")]
pub(crate) struct Flags {
    pub(crate) read_only: bool,
    pub(crate) destructive: bool,
    pub(crate) idempotent: bool,
    pub(crate) open_world: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

impl Server {
    /// What the policy engine is told of it.
    pub(crate) fn facts(&self, toolbox: &Toolbox) -> ServerFacts {
        ServerFacts {
            name: self.name.clone(),
            org: toolbox.org.clone(),
            toolbox: toolbox.name.clone(),
            status: self.status,
            trust: self.trust,
            provider: self.acts_on.as_ref().map(|acts_on| acts_on.provider.clone()),
        }
    }
}

impl Tool {
    /// What the policy engine is told of it.
    pub(crate) fn facts(&self, server: &Server, toolbox: &Toolbox) -> ToolFacts {
        let of_server = server.acts_on.iter().flat_map(|acts_on| &acts_on.scopes);
        ToolFacts {
            name: self.name.clone(),
            scopes: self.scopes.iter().chain(of_server).cloned().collect(),
            server: server.facts(toolbox),
            state: self.state,
            definition: self.definition_hash.clone(),
            read_only: self.flags.read_only,
            destructive: self.flags.destructive,
            idempotent: self.flags.idempotent,
            open_world: self.flags.open_world,
        }
    }
}
