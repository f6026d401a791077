-- The foundation: who, what, who may, and what happened.
-- SQLite dialect, one set for every host. Statements end with a semicolon and an empty line, so that hosts without scripts can run
-- them one by one. Times are milliseconds since 1970. Ids and names are parsed by schemas::ids and schemas::names.

CREATE TABLE orgs (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  policy_set TEXT NOT NULL REFERENCES policy_sets(hash),
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Content-addressed and immutable: publishing is a swap of orgs.policy_set. The first `built_in_files` files of the source are the
-- product's; `built_in` is the hash of the set that they alone make, by which a newer build finds the sets that lack its guardrails.
CREATE TABLE policy_sets (
  hash TEXT PRIMARY KEY,
  source TEXT NOT NULL,
  built_in TEXT NOT NULL,
  built_in_files INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which policy set an organisation had, from when.
CREATE TABLE policy_history (
  org_id TEXT NOT NULL REFERENCES orgs(id),
  version INTEGER NOT NULL,
  hash TEXT NOT NULL REFERENCES policy_sets(hash),
  published_at INTEGER NOT NULL,
  published_by TEXT NOT NULL,
  PRIMARY KEY (org_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  email TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
  created_at INTEGER NOT NULL,
  UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  owner_id TEXT REFERENCES users(id),
  -- The client_id (or azp) its tokens carry, when it signs in through the organisation's issuer.
  oauth_client TEXT,
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
  created_at INTEGER NOT NULL,
  UNIQUE (org_id, name),
  UNIQUE (org_id, oauth_client)
) STRICT, WITHOUT ROWID;

-- A key acts as one agent, for one user or for nobody. Only its SHA-256 is here.
CREATE TABLE api_keys (
  hash TEXT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  agent_id TEXT NOT NULL REFERENCES agents(id),
  user_id TEXT REFERENCES users(id),
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Whose JWTs an organisation accepts.
CREATE TABLE issuers (
  org_id TEXT NOT NULL REFERENCES orgs(id),
  issuer TEXT NOT NULL,
  jwks_uri TEXT NOT NULL,
  algorithms TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, issuer)
) STRICT, WITHOUT ROWID;

CREATE TABLE toolboxes (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

-- Exactly one of workload (a schemas::provisioner::WorkloadSpec without org and toolbox) and url says where it is.
CREATE TABLE servers (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  workload TEXT,
  url TEXT,
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
  trust TEXT NOT NULL DEFAULT 'untrusted' CHECK (trust IN ('first_party', 'verified', 'community', 'untrusted')),
  -- What it said of itself when it was last looked at: capabilities, instructions, prompt names, resource URIs and templates.
  discovered TEXT NOT NULL DEFAULT '{}',
  discovered_at INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  UNIQUE (org_id, name),
  CHECK ((workload IS NULL) <> (url IS NULL))
) STRICT, WITHOUT ROWID;

-- Which servers a toolbox has, and how their names are told apart: '' for at most one server, its name for the others.
CREATE TABLE toolbox_servers (
  toolbox_id TEXT NOT NULL REFERENCES toolboxes(id),
  server_id TEXT NOT NULL REFERENCES servers(id),
  prefix TEXT NOT NULL,
  PRIMARY KEY (toolbox_id, server_id),
  UNIQUE (toolbox_id, prefix)
) STRICT, WITHOUT ROWID;

-- Tools with their pins. Agents are served `definition`, the approved bytes; what the server says now is compared with them.
CREATE TABLE tools (
  server_id TEXT NOT NULL REFERENCES servers(id),
  name TEXT NOT NULL,
  -- The name as clients may see it: ^[a-zA-Z0-9_-]{1,64}$.
  alias TEXT NOT NULL,
  position INTEGER NOT NULL,
  definition TEXT NOT NULL,
  definition_hash TEXT NOT NULL,
  -- SHA-256 of what the server said last; differs from definition_hash when the server changed its mind.
  live_hash TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'approved', 'changed', 'quarantined')),
  read_only INTEGER NOT NULL DEFAULT 0,
  destructive INTEGER NOT NULL DEFAULT 1,
  idempotent INTEGER NOT NULL DEFAULT 0,
  open_world INTEGER NOT NULL DEFAULT 1,
  -- JSON array of [header, argument, type] from x-mcp-header, of the approved definition.
  headers TEXT NOT NULL DEFAULT '[]',
  approved_by TEXT,
  approved_at INTEGER,
  PRIMARY KEY (server_id, name),
  UNIQUE (server_id, alias)
) STRICT, WITHOUT ROWID;

-- Plain grants: agent -> toolbox, server or tool. `resource` is 'toolbox:<id>', 'server:<id>' or 'tool:<server id>/<tool>'.
CREATE TABLE grants (
  agent_id TEXT NOT NULL REFERENCES agents(id),
  resource TEXT NOT NULL,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  granted_by TEXT NOT NULL,
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (agent_id, resource)
) STRICT, WITHOUT ROWID;

-- Append-only. `event` is the RFC 8785 text of a schemas::audit::AuditEvent and `leaf` the hash of exactly these bytes. An intent's
-- `due_at` is when the reaper closes it, if no outcome came.
CREATE TABLE audit (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('intent', 'outcome', 'denial', 'note')),
  intent_id TEXT,
  due_at INTEGER,
  leaf TEXT NOT NULL,
  event TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One outcome per intent, whoever writes it first.
CREATE UNIQUE INDEX audit_outcome ON audit (intent_id) WHERE intent_id IS NOT NULL;

CREATE INDEX audit_due ON audit (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX audit_org ON audit (org_id, at);

CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
WHEN NEW.due_at IS NOT NULL OR OLD.id <> NEW.id OR OLD.event <> NEW.event OR OLD.leaf <> NEW.leaf OR OLD.org_id <> NEW.org_id
BEGIN
  SELECT RAISE(ABORT, 'audit rows are not rewritten');
END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN
  SELECT RAISE(ABORT, 'audit rows are not deleted');
END;

-- Work that one edge at a time does: claimed by a swap on `version`, free again when `until` has passed.
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
