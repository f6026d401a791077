//! The kinds of things that the API lists, and how each is told in a line.

use super::table::Column;

/// A kind of thing.
#[derive(Debug)]
pub(super) struct Kind {
    /// One of them, as its command is called.
    pub(super) name: &'static str,
    /// Many of them, as people say it.
    pub(super) many: &'static str,
    /// Where they are, below the organisation.
    pub(super) path: &'static str,
    pub(super) columns: &'static [Column],
}

pub(super) const ORGS: Kind = Kind {
    name: "org",
    many: "organisations",
    path: "/orgs",
    columns: &[("NAME", &["/name"]), ("STATUS", &["/status"]), ("SINCE", &["/createdAt"])],
};

pub(super) const USERS: Kind = Kind {
    name: "user",
    many: "users",
    path: "/users",
    columns: &[
        ("NAME", &["/name"]),
        ("STATUS", &["/status"]),
        ("ROLES", &["/roles"]),
        ("TEAMS", &["/teams"]),
        ("EMAIL", &["/email"]),
    ],
};

pub(super) const TEAMS: Kind = Kind {
    name: "team",
    many: "teams",
    path: "/teams",
    columns: &[
        ("NAME", &["/name"]),
        ("USERS", &["/users"]),
        ("AGENTS", &["/agents"]),
        ("TEAMS", &["/teams"]),
    ],
};

pub(super) const AGENTS: Kind = Kind {
    name: "agent",
    many: "agents",
    path: "/agents",
    columns: &[
        ("NAME", &["/name"]),
        ("STATUS", &["/status"]),
        ("OWNER", &["/owner"]),
        ("TEAMS", &["/teams"]),
        ("CLIENTS", &["/clients"]),
    ],
};

pub(super) const KEYS: Kind = Kind {
    name: "key",
    many: "keys",
    path: "/keys",
    columns: &[
        ("ID", &["/id"]),
        ("KEY", &["/hint"]),
        ("AGENT", &["/agent"]),
        ("USER", &["/user"]),
        ("TOOLBOX", &["/toolbox"]),
        ("SCOPES", &["/scopes"]),
        ("STATUS", &["/status"]),
        ("EXPIRES", &["/expiresAt"]),
    ],
};

pub(super) const TOOLBOXES: Kind = Kind {
    name: "toolbox",
    many: "toolboxes",
    path: "/toolboxes",
    columns: &[("NAME", &["/name"]), ("SERVERS", &["/servers"])],
};

pub(super) const SERVERS: Kind = Kind {
    name: "server",
    many: "servers",
    path: "/servers",
    columns: &[
        ("NAME", &["/name"]),
        ("STATUS", &["/status"]),
        ("TRUST", &["/trust"]),
        ("TOOLBOXES", &["/toolboxes"]),
        ("SOURCE", &["/url", "/workload/image"]),
    ],
};

pub(super) const TOOL_COLUMNS: &[Column] =
    &[("NAME", &["/name"]), ("STATE", &["/state"]), ("FLAGS", &["/flags"])];

pub(super) const GRANTS: Kind = Kind {
    name: "grant",
    many: "grants",
    path: "/grants",
    columns: &[
        ("HOLDER", &["/holder"]),
        ("MAY USE", &["/resource"]),
        ("BY", &["/grantedBy"]),
        ("SINCE", &["/grantedAt"]),
    ],
};

pub(super) const CLIENTS: Kind = Kind {
    name: "client",
    many: "clients",
    path: "/clients",
    columns: &[
        ("NAME", &["/name"]),
        ("CLIENT ID", &["/clientId"]),
        ("AGENT", &["/agent"]),
        ("PROVES ITSELF BY", &["/tokenEndpointAuthMethod"]),
        ("REDIRECTS", &["/redirectUris"]),
    ],
};

pub(super) const AUTHORIZATIONS: Kind = Kind {
    name: "authorization",
    many: "authorizations",
    path: "/authorizations",
    columns: &[
        ("ID", &["/id"]),
        ("CLIENT ID", &["/client"]),
        ("USER", &["/user"]),
        ("AGENT", &["/agent"]),
        ("SCOPES", &["/scopes"]),
        ("SINCE", &["/createdAt"]),
    ],
};

pub(super) const IDENTITY_PROVIDERS: Kind = Kind {
    name: "idp",
    many: "identity providers",
    path: "/identity-providers",
    columns: &[
        ("NAME", &["/name"]),
        ("ISSUER", &["/issuer"]),
        ("CLIENT ID", &["/clientId"]),
        ("ADMITS", &["/admits"]),
    ],
};

pub(super) const PROVIDERS: Kind = Kind {
    name: "provider",
    many: "providers",
    path: "/providers",
    columns: &[
        ("NAME", &["/name"]),
        ("KIND", &["/kind"]),
        ("CLIENT ID", &["/clientId"]),
        ("CONNECTED", &["/connections/active"]),
        ("TO RECONNECT", &["/connections/needsReconnect"]),
        ("TROUBLE", &["/trouble"]),
    ],
};

pub(super) const CONNECTIONS: Kind = Kind {
    name: "connection",
    many: "connections",
    path: "/connections",
    columns: &[
        ("ID", &["/id"]),
        ("PROVIDER", &["/provider"]),
        ("USER", &["/user"]),
        ("ACCOUNT", &["/account"]),
        ("SHARED", &["/team", "/sharing"]),
        ("STATUS", &["/status"]),
        ("LAST USED", &["/usedAt"]),
    ],
};
