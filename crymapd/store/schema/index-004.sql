-- The last row that `history` in meta.db had when message ids were last written here.
ALTER TABLE progress ADD COLUMN step INTEGER NOT NULL DEFAULT -1;  -- -1: unknown
ALTER TABLE progress ADD COLUMN token BLOB;
