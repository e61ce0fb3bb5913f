-- Downloads from the hub that are under way or were, in the order of their rows, for the list and for going on
-- after a restart. What came of their bytes lies in the hub's cache.
CREATE TABLE downloads (
  id TEXT PRIMARY KEY,
  -- Who began it; NULL: a local program, or an account that is gone.
  user_id TEXT REFERENCES users (id) ON DELETE SET NULL,
  repository TEXT NOT NULL,
  revision TEXT NOT NULL,
  -- Once the hub has told it.
  commit_hash TEXT NOT NULL DEFAULT '',
  -- A JSON list; empty: the files that a model needs.
  patterns TEXT NOT NULL DEFAULT '[]',
  state TEXT NOT NULL
    CHECK (state IN ('queued', 'running', 'paused', 'failed', 'cancelled', 'done')),
  -- Why it failed or paused.
  message TEXT NOT NULL DEFAULT '',
  owns_snapshot INTEGER NOT NULL DEFAULT 0,
  total_bytes INTEGER NOT NULL DEFAULT 0,
  present_bytes INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  ended_at INTEGER
);
CREATE INDEX downloads_by_user ON downloads (user_id);
