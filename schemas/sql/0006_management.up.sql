-- What the management API needs beside the things it manages.

-- Answers to requests that were sent with an `Idempotency-Key`, sealed; the same key gets the same answer again.
CREATE TABLE idempotent_answers (
  org_id TEXT NOT NULL,
  key_hash TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  answer TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, key_hash)
) STRICT, WITHOUT ROWID;
