-- Long jobs over models: imports, conversions, measurements. They run in the order of their rows.
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  -- NULL: the owner's of this folder, or of an account that is gone.
  user_id TEXT REFERENCES users (id) ON DELETE SET NULL,
  -- A JSON object, complete.
  parameters TEXT NOT NULL,
  -- What is too long for a list, such as a text to score; emptied once the job has ended.
  input TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL
    CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'interrupted')),
  step TEXT NOT NULL DEFAULT '',
  -- 0 … 1.
  progress REAL NOT NULL DEFAULT 0,
  -- Why it has no result.
  error_code TEXT NOT NULL DEFAULT '',
  error_message TEXT NOT NULL DEFAULT '',
  -- A JSON object, once it is done.
  result TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER
);
CREATE INDEX jobs_by_user ON jobs (user_id);
CREATE INDEX jobs_by_state ON jobs (state);

CREATE TABLE job_log (
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
