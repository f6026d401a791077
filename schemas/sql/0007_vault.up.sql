-- Keys of the vault: an organisation's credentials are sealed under its tenant key, and that is wrapped by the deployment's root.

CREATE TABLE tenant_keys (
  org_id TEXT NOT NULL REFERENCES orgs(id),
  version INTEGER NOT NULL,
  -- What wraps it: the reference of a root, such as `local` or a key of a KMS.
  root TEXT NOT NULL,
  wrapped TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, version)
) STRICT, WITHOUT ROWID;
