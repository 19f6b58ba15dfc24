-- A row for each step that gave out message ids, and one from the first opening. index.db remembers the last one it knew
-- of: where that is not here, this database is an older one put back, and other messages have got the ids since.
CREATE TABLE history (
  step INTEGER PRIMARY KEY,
  token BLOB NOT NULL                    -- 8 random octets
) STRICT;
