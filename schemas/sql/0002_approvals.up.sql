-- A person's word on one exact call: who calls, on whose behalf, which tool as it was approved, with which arguments. A row goes from
-- pending to approved or refused, and from approved to used, each by a swap on `state`; the rounds of one call by a swap on `round`.
CREATE TABLE approvals (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES orgs(id),
  agent_id TEXT NOT NULL REFERENCES agents(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  toolbox_id TEXT NOT NULL REFERENCES toolboxes(id),
  server_id TEXT NOT NULL REFERENCES servers(id),
  tool TEXT NOT NULL,
  definition_hash TEXT NOT NULL,
  -- SHA-256 of the RFC 8785 text of the arguments, and that text itself, sealed; emptied when it is not needed any more.
  arguments_hash TEXT NOT NULL,
  arguments TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'refused', 'used')),
  round INTEGER NOT NULL DEFAULT 0,
  requested_at INTEGER NOT NULL,
  -- Until when it may be decided, then until when the decision holds.
  expires_at INTEGER NOT NULL,
  decided_at INTEGER,
  decided_by TEXT REFERENCES users(id),
  used_at INTEGER,
  -- The line of the audit trail about the step that was taken last: it is written only if the step was.
  event_id TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- The same call waits in one row, however often it is asked for.
CREATE UNIQUE INDEX approvals_pending
ON approvals (agent_id, user_id, arguments_hash, tool, server_id, toolbox_id, definition_hash) WHERE state = 'pending';

CREATE INDEX approvals_call ON approvals (agent_id, user_id, arguments_hash, tool);

CREATE INDEX approvals_org ON approvals (org_id, state, id);
