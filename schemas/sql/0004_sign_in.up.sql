-- How people sign in, and the browsers that are signed in. Secrets are here as SHA-256 only, or sealed.

-- A browser that is signed in. The secret in its cookie changes while it is used; the one before is good a moment longer, for requests
-- that were under way. Both are swapped in by the hash that they replace.
CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  previous_hash TEXT,
  previous_until INTEGER,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  -- How it was opened: 'link', 'passkey', or 'idp:' and the name of an identity provider.
  opened_by TEXT NOT NULL,
  -- What the browser says it is, for people to tell their sessions apart.
  browser TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  -- When its secret was made: it is used as long as that is not long ago.
  renewed_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX sessions_previous ON sessions (previous_hash) WHERE previous_hash IS NOT NULL;

CREATE INDEX sessions_user ON sessions (user_id);

CREATE INDEX sessions_expire ON sessions (expires_at);

-- A link that signs a person in, once: `session_id` is set by a swap.
CREATE TABLE sign_in_links (
  hash TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  session_id TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_links_expire ON sign_in_links (expires_at);

-- Where people of an organisation sign in: an OpenID Connect provider of theirs.
CREATE TABLE identity_providers (
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- Sealed; nothing for a public client.
  client_secret TEXT,
  scopes TEXT NOT NULL,
  -- Which claim names a new person; '' for a verified e-mail address, or else the subject.
  name_claim TEXT NOT NULL DEFAULT '',
  -- Which claim lists groups, and which team each stands for, as a JSON object.
  groups_claim TEXT NOT NULL DEFAULT '',
  teams TEXT NOT NULL DEFAULT '{}',
  -- Whom it may bring in that is not known yet: nobody, or everyone (of these e-mail domains, if there are any; a JSON array).
  admits TEXT NOT NULL CHECK (admits IN ('known', 'everyone')),
  domains TEXT NOT NULL DEFAULT '[]',
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, name)
) STRICT, WITHOUT ROWID;

-- Who a person is at an identity provider: by issuer and subject, never by name or e-mail address (OpenID Connect Core §5.7).
CREATE TABLE identities (
  org_id TEXT NOT NULL REFERENCES orgs(id),
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  user_id TEXT NOT NULL REFERENCES users(id),
  linked_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX identities_user ON identities (user_id);

-- A person's passkeys (Web Authentication Level 3), by the SHA-256 of their credential ids. The public key is a JWK.
CREATE TABLE passkeys (
  hash TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id),
  public_key TEXT NOT NULL,
  counter INTEGER NOT NULL,
  -- The browser that registered it, for people to tell theirs apart.
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX passkeys_user ON passkeys (user_id);
