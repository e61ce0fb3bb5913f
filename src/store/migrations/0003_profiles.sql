-- `defaults` is a JSON object: system prompt, sampling, context, template switches.
CREATE TABLE profiles (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  description TEXT NOT NULL DEFAULT '',
  model TEXT NOT NULL,
  defaults TEXT NOT NULL,
  auto_load INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
);

CREATE TABLE aliases (
  name TEXT PRIMARY KEY COLLATE NOCASE,
  model TEXT NOT NULL,
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;
