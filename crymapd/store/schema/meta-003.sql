-- A row for the first opening, and one for each step at which message ids were given out. index.db remembers the last
-- step it has seen. If that step is not here, an older meta.db was put back, and the ids mean other messages.
CREATE TABLE history (
  step INTEGER PRIMARY KEY,
  token BLOB NOT NULL                    -- 8 random octets
) STRICT;
