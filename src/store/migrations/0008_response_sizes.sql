-- What a kept response takes, so that they can be kept to a limit without being read.
ALTER TABLE responses ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE responses SET bytes = LENGTH(CAST(input AS BLOB)) + LENGTH(CAST(response AS BLOB));
DROP INDEX responses_by_time;
CREATE INDEX responses_by_time ON responses (created_at, bytes);
