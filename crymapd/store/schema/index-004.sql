-- The last row of `history` in meta.db when ids were last put in here.
ALTER TABLE progress ADD COLUMN step INTEGER NOT NULL DEFAULT -1;  -- -1: nobody knows
ALTER TABLE progress ADD COLUMN token BLOB;
