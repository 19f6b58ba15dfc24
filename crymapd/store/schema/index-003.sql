-- The header fields that Thunderbird asks for by themselves: read alone they lie close together.
-- Nothing is carried over: it is made again when it is asked for.
DROP TABLE rendered;
CREATE TABLE rendered (
  message INTEGER PRIMARY KEY,  -- messages.id in meta.db
  envelope BLOB NOT NULL,       -- ENVELOPE as it goes over the wire
  body BLOB NOT NULL,           -- BODY likewise
  structure BLOB NOT NULL,      -- BODYSTRUCTURE likewise
  envelope8 BLOB,               -- the same for clients that take UTF-8; NULL where all is ASCII
  body8 BLOB,
  structure8 BLOB,
  preview BLOB NOT NULL         -- PREVIEW (RFC 8970) in UTF-8
) STRICT;
CREATE TABLE fields (
  message INTEGER PRIMARY KEY,
  fields BLOB                   -- as they go over the wire; NULL where the header is too long
) STRICT;
