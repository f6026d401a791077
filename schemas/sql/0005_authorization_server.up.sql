-- The authorization server: its clients, what they were let do, and the codes and tokens of that. Secrets are here as SHA-256 only.

-- A client: registered by an organisation (`org_id` is set), registered by itself (RFC 7591), or described by a document at the URL
-- that is its id (Client ID Metadata Document), of which this is a copy until `expires_at`.
CREATE TABLE oauth_clients (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('registered', 'dynamic', 'document')),
  org_id TEXT REFERENCES orgs(id),
  -- The agent that it is, with no person behind it (client credentials).
  agent_id TEXT REFERENCES agents(id),
  -- What it said of itself (RFC 7591 §2), as JSON: a schema of its own in the gateway.
  metadata TEXT NOT NULL,
  secret_hash TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_clients_org ON oauth_clients (org_id) WHERE org_id IS NOT NULL;

CREATE INDEX oauth_clients_expire ON oauth_clients (expires_at) WHERE expires_at IS NOT NULL;

-- What a client was let do: as which agent, for whom, with what. Access tokens name it, so that ending it ends them.
-- `audience` is the toolbox's URL, or that of the management API (then there is no agent).
CREATE TABLE authorizations (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  client_id TEXT NOT NULL,
  agent_id TEXT REFERENCES agents(id),
  user_id TEXT REFERENCES users(id),
  audience TEXT NOT NULL,
  scopes TEXT NOT NULL,
  -- Agents that act one for another, outermost first, as JSON (RFC 8693 §4.1).
  actors TEXT NOT NULL DEFAULT '[]',
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX authorizations_user ON authorizations (user_id) WHERE user_id IS NOT NULL;

CREATE INDEX authorizations_expire ON authorizations (expires_at);

-- A code is good once: `used_at` is set by a swap, and a second use ends the authorization (RFC 6749 §4.1.2).
CREATE TABLE authorization_codes (
  hash TEXT PRIMARY KEY,
  authorization_id TEXT NOT NULL REFERENCES authorizations(id),
  redirect_uri TEXT NOT NULL,
  -- S256 of the client's verifier (RFC 7636).
  challenge TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Refresh tokens rotate. `generation` counts; a used token is good again only until its successor was used, for a client that
-- never heard the answer; an older one is taken for stolen and ends the authorization (RFC 9700 §4.14.2).
CREATE TABLE refresh_tokens (
  hash TEXT PRIMARY KEY,
  authorization_id TEXT NOT NULL REFERENCES authorizations(id),
  generation INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_family ON refresh_tokens (authorization_id, generation);

-- What a person said yes to, so that the same is not asked again.
CREATE TABLE consents (
  user_id TEXT NOT NULL REFERENCES users(id),
  client_id TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  audience TEXT NOT NULL,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  agent_id TEXT REFERENCES agents(id),
  scopes TEXT NOT NULL,
  given_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, client_id, redirect_uri, audience)
) STRICT, WITHOUT ROWID;

-- Assertions that were used (`jti` of RFC 7523 §3): each is good once.
CREATE TABLE seen_assertions (
  issuer TEXT NOT NULL,
  jti TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_assertions_until ON seen_assertions (until);

-- Access tokens that were revoked one by one, until they would have expired.
CREATE TABLE revoked_tokens (
  jti TEXT PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which clients people may let act as this agent: client ids, `https://host/*`, or `*`; a JSON array.
ALTER TABLE agents ADD COLUMN clients TEXT NOT NULL DEFAULT '[]';

-- What a key is good for: one toolbox (or all), and scopes (or no limit by scope).
ALTER TABLE api_keys ADD COLUMN toolbox_id TEXT;

ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
