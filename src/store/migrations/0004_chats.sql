CREATE TABLE chat_folders (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX chat_folders_by_user ON chat_folders (user_id);

CREATE TABLE chats (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  folder_id TEXT REFERENCES chat_folders (id) ON DELETE SET NULL,
  title TEXT NOT NULL DEFAULT '',
  model TEXT NOT NULL DEFAULT '',
  pinned INTEGER NOT NULL DEFAULT 0,
  -- The leaf of the branch that was last looked at.
  current_message TEXT,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
);
CREATE INDEX chats_by_user ON chats (user_id, changed_at);

-- A tree: an edited or regenerated message is a sibling of the one it replaces.
CREATE TABLE chat_messages (
  id TEXT PRIMARY KEY,
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  parent_id TEXT REFERENCES chat_messages (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
  -- The words, which search reads.
  text TEXT NOT NULL,
  -- A JSON object with all else: parts, reasoning, tool calls, statistics.
  details TEXT NOT NULL DEFAULT '{}',
  created_at INTEGER NOT NULL
);
CREATE INDEX chat_messages_by_chat ON chat_messages (chat_id, created_at);
CREATE INDEX chat_messages_by_parent ON chat_messages (parent_id);
