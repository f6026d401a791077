-- The keys that an organisation's credentials are sealed under, each wrapped by a root key that is kept elsewhere.

-- The newest version seals; older ones open until everything under them has been re-wrapped. A shredded version keeps its row, without
-- its key, so that its number never means another key.
CREATE TABLE tenant_keys (
  org_id TEXT NOT NULL REFERENCES orgs(id),
  version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
  -- Which root key wrapped it, and which generation of that: never the key itself.
  root TEXT NOT NULL,
  wrapped TEXT NOT NULL,
  -- How everything begins that is sealed under it.
  prefix TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'shredded')),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, version),
  CHECK ((state = 'shredded') = (wrapped = ''))
) STRICT, WITHOUT ROWID;
