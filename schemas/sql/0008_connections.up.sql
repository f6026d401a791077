-- Whose account: providers of an organisation, people's accounts there, and the way a browser takes to connect one.

CREATE TABLE providers (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  -- A row of the provider table, such as `github`, `oidc` or `api-key`.
  kind TEXT NOT NULL,
  -- JSON: what is this organisation's own in that row, such as a host, an issuer, endpoints; scopes that are asked for.
  settings TEXT NOT NULL DEFAULT '{}',
  scopes TEXT NOT NULL DEFAULT '[]',
  client_id TEXT NOT NULL DEFAULT '',
  -- Sealed by the vault, for `version`.
  client_secret TEXT,
  -- What we registered or discovered ourselves, JSON, keyed by issuer.
  discovered TEXT NOT NULL DEFAULT '{}',
  -- Raised by every change: a browser that left before it does not come back.
  version INTEGER NOT NULL DEFAULT 1,
  -- What went wrong last, for operators.
  trouble TEXT,
  trouble_at INTEGER,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

-- A person's account at a provider. `sealed` is its credential, for exactly this `version`; every change of it is a swap on that.
CREATE TABLE connections (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  provider_id TEXT NOT NULL REFERENCES providers(id),
  -- Who connected it, and whose it stays.
  owner_id TEXT NOT NULL REFERENCES users(id),
  -- Who else may use it: nobody, a team (by id), or everybody in the organisation.
  sharing TEXT NOT NULL DEFAULT 'personal' CHECK (sharing IN ('personal', 'team', 'org')),
  team_id TEXT REFERENCES teams(id),
  -- Who it is at the provider: the id that never changes, and what people know it by.
  account_id TEXT NOT NULL,
  account_label TEXT NOT NULL DEFAULT '',
  -- JSON array: what the account gave.
  scopes TEXT NOT NULL DEFAULT '[]',
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'needs_reconnect', 'disconnected')),
  -- Why it needs its owner, in words for them.
  reason TEXT,
  version INTEGER NOT NULL DEFAULT 1,
  sealed TEXT,
  -- When the access token ends, if it does; until when it is still sent; and from when on it is refreshed, if it can be.
  expires_at INTEGER,
  usable_until INTEGER,
  refresh_at INTEGER,
  -- Whoever refreshes it holds this until then: longer than any request to a provider.
  lease TEXT,
  lease_until INTEGER,
  -- Noted before a refresh token is sent: whoever finds it with `attempted` = `version` knows that the answer was lost.
  attempted INTEGER,
  -- Refreshes that failed in a row, and until when none is tried.
  failures INTEGER NOT NULL DEFAULT 0,
  retry_at INTEGER,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL DEFAULT 0,
  -- The line of the audit trail about the step that was taken last: it is written only if the step was.
  event_id TEXT UNIQUE,
  CHECK ((sharing = 'team') = (team_id IS NOT NULL)),
  CHECK ((status = 'active') <= (sealed IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- One personal account per person and provider: a call never has to guess.
CREATE UNIQUE INDEX connections_personal ON connections (owner_id, provider_id)
WHERE sharing = 'personal' AND status <> 'disconnected';

CREATE INDEX connections_provider ON connections (provider_id, sharing, status);

CREATE INDEX connections_owner ON connections (owner_id, id);

CREATE INDEX connections_refresh ON connections (refresh_at) WHERE refresh_at IS NOT NULL;

-- Accounts that were disconnected here while their provider was away: told again until it hears, for a day at most.
CREATE TABLE revocations (
  connection_id TEXT PRIMARY KEY REFERENCES connections(id),
  org_id TEXT NOT NULL REFERENCES orgs(id),
  provider_id TEXT NOT NULL REFERENCES providers(id),
  owner_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  sealed TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_next ON revocations (next_at);

-- A wish to connect: the opaque end of a connect URL. One for each person, provider, agent and tool, however often it is asked for.
CREATE TABLE connect_tickets (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  provider_id TEXT NOT NULL REFERENCES providers(id),
  -- Who asked, and for what; empty if the person came by themselves.
  agent_id TEXT NOT NULL DEFAULT '',
  server_id TEXT NOT NULL DEFAULT '',
  tool TEXT NOT NULL DEFAULT '',
  -- JSON array: the scopes that are needed.
  scopes TEXT NOT NULL DEFAULT '[]',
  -- How it is to be shared, if it is a new account: JSON.
  sharing TEXT NOT NULL DEFAULT '{}',
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX connect_tickets_wish ON connect_tickets (user_id, provider_id, agent_id, server_id, tool) WHERE used_at IS NULL;

-- A browser on its way to a provider and back. Used up by a swap on `used_at`.
CREATE TABLE connect_flows (
  -- SHA-256 of the state.
  state_hash TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  session_id TEXT NOT NULL,
  ticket_id TEXT NOT NULL,
  provider_id TEXT NOT NULL REFERENCES providers(id),
  provider_version INTEGER NOT NULL,
  -- PKCE verifier, nonce, issuer and pinned endpoints, sealed.
  sealed TEXT NOT NULL,
  -- What somebody came back with, sealed, while they are asked whether they meant this other account.
  held TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;

-- A server acts on accounts of a provider; `injection` says how it gets their credentials (JSON array of schemas::provisioner::Injection),
-- and `scopes` what all its tools need of an account; a tool may need more.
ALTER TABLE servers ADD COLUMN provider_id TEXT REFERENCES providers(id);

ALTER TABLE servers ADD COLUMN injection TEXT NOT NULL DEFAULT '[]';

ALTER TABLE servers ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';

ALTER TABLE tools ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
