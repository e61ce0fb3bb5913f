-- Answers of /v1/responses, for who asks for them again or builds on them. Neither user nor key: a local program's,
-- from before there were accounts.
CREATE TABLE responses (
  id TEXT PRIMARY KEY,
  user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
  key_id TEXT REFERENCES api_keys (id) ON DELETE CASCADE,
  -- The response that it follows; it may be gone.
  previous_id TEXT,
  -- A JSON list: the request's own items.
  input TEXT NOT NULL,
  -- The JSON object as it was answered.
  response TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX responses_by_time ON responses (created_at);
CREATE INDEX responses_by_user ON responses (user_id);
CREATE INDEX responses_by_key ON responses (key_id);
