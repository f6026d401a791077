-- Teams of people and agents, roles, keys of people; grants to teams and whole organisations; policy sets as reviewed versions.

CREATE TABLE teams (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

-- Who is in a team directly: 'agent:<id>', 'user:<id>' or, for a team within a team, 'team:<id>'.
CREATE TABLE team_members (
  team_id TEXT NOT NULL REFERENCES teams(id),
  member TEXT NOT NULL,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  PRIMARY KEY (team_id, member)
) STRICT, WITHOUT ROWID;

CREATE INDEX team_members_member ON team_members (member);

-- Every team a member is in, those above included: made from team_members whenever that changes, so that a call need not climb.
CREATE TABLE team_reach (
  member TEXT NOT NULL,
  team_id TEXT NOT NULL REFERENCES teams(id),
  org_id TEXT NOT NULL REFERENCES orgs(id),
  PRIMARY KEY (member, team_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_roles (
  user_id TEXT NOT NULL REFERENCES users(id),
  role TEXT NOT NULL,
  PRIMARY KEY (user_id, role)
) STRICT, WITHOUT ROWID;

-- A person's key for the management API. Only its SHA-256 is here. It calls no tools, and no agent's key manages anything.
CREATE TABLE user_keys (
  hash TEXT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

ALTER TABLE grants RENAME TO grants_of_agents;

-- Plain grants: holder -> toolbox, server or tool. `holder` is 'agent:<id>', 'team:<id>' or 'org:<id>'; `resource` is 'toolbox:<id>',
-- 'server:<id>' or 'tool:<server id>/<tool>'.
CREATE TABLE grants (
  resource TEXT NOT NULL,
  holder TEXT NOT NULL,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  granted_by TEXT NOT NULL,
  granted_at INTEGER NOT NULL,
  PRIMARY KEY (resource, holder)
) STRICT, WITHOUT ROWID;

INSERT INTO grants (resource, holder, org_id, granted_by, granted_at)
SELECT resource, 'agent:' || agent_id, org_id, granted_by, granted_at FROM grants_of_agents;

DROP TABLE grants_of_agents;

CREATE INDEX grants_holder ON grants (org_id, holder);

-- The author's cases, which every version must hold; what the author said of it; who accepted it, where it needed a second person.
ALTER TABLE policy_history ADD COLUMN cases TEXT NOT NULL DEFAULT '[]';

ALTER TABLE policy_history ADD COLUMN note TEXT NOT NULL DEFAULT '';

ALTER TABLE policy_history ADD COLUMN accepted_by TEXT;

-- A policy set that takes a forbid away waits here for a second person.
CREATE TABLE policy_proposals (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  hash TEXT NOT NULL REFERENCES policy_sets(hash),
  replaces TEXT NOT NULL,
  cases TEXT NOT NULL,
  note TEXT NOT NULL,
  why TEXT NOT NULL,
  proposed_by TEXT NOT NULL,
  proposed_at INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'refused')),
  decided_by TEXT,
  decided_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX policy_proposals_org ON policy_proposals (org_id, state, id);

-- A draft on trial: it decides beside the policy set and only records.
ALTER TABLE orgs ADD COLUMN shadow_set TEXT REFERENCES policy_sets(hash);

ALTER TABLE orgs ADD COLUMN shadow_since INTEGER;

ALTER TABLE orgs ADD COLUMN shadow_by TEXT;

-- What the server says now, to be compared with what was approved; and where the tool stood in its server's list then.
ALTER TABLE tools ADD COLUMN live_definition TEXT NOT NULL DEFAULT '';

ALTER TABLE tools ADD COLUMN approved_position INTEGER;
