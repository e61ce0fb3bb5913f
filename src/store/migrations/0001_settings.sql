CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Encrypted by SecretBox; never plain text.
CREATE TABLE secrets (
  name TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;
