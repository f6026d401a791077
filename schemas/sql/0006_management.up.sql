-- What the management API needs beside the things it manages.

-- Requests that were sent with an `Idempotency-Key`. A row is claimed before anything is done, says with the change itself, in one
-- transaction, that it took effect, and gets the answer afterwards, sealed: the same key gets the same answer again.
CREATE TABLE idempotent_answers (
  org_id TEXT NOT NULL,
  key_hash TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('claimed', 'effective', 'answered')),
  answer TEXT NOT NULL DEFAULT '',
  -- Until when a claim that did nothing holds; then until when the answer is kept.
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, key_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotent_answers_expire ON idempotent_answers (expires_at);

-- Never holds a row: to insert one fails, and with it everything else of its transaction. So a batch takes back what must not be.
CREATE TABLE refusals (
  why TEXT PRIMARY KEY,
  CONSTRAINT refused_precondition CHECK (why <> 'precondition'),
  CONSTRAINT refused_missing CHECK (why <> 'missing'),
  CONSTRAINT refused_quota CHECK (why <> 'quota'),
  CONSTRAINT refused_conflict CHECK (why <> 'conflict')
) STRICT, WITHOUT ROWID;

-- The last characters of a key, by which people tell keys apart.
ALTER TABLE api_keys ADD COLUMN hint TEXT NOT NULL DEFAULT '';

ALTER TABLE user_keys ADD COLUMN hint TEXT NOT NULL DEFAULT '';

-- The kill switch of a whole organisation: while it is suspended, none of its agents does anything. People go on managing.
ALTER TABLE orgs ADD COLUMN status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended'));

CREATE INDEX api_keys_org ON api_keys (org_id, id);

CREATE INDEX user_keys_org ON user_keys (org_id, id);
