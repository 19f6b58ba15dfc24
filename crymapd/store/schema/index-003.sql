-- The header fields that Thunderbird asks for get a table of their own, where reading only them is faster.
-- Nothing is carried over: it is made again when it is asked for.
DROP TABLE rendered;
CREATE TABLE rendered (
  message INTEGER PRIMARY KEY,  -- messages.id in meta.db
  envelope BLOB NOT NULL,       -- ENVELOPE as it goes over the wire
  body BLOB NOT NULL,           -- BODY as it goes over the wire
  structure BLOB NOT NULL,      -- BODYSTRUCTURE as it goes over the wire
  envelope8 BLOB,               -- these three for clients that take UTF-8; NULL if there is no difference
  body8 BLOB,
  structure8 BLOB,
  preview BLOB NOT NULL         -- PREVIEW (RFC 8970) in UTF-8
) STRICT;
CREATE TABLE fields (
  message INTEGER PRIMARY KEY,
  fields BLOB                   -- as they go over the wire; NULL if the header is too long
) STRICT;
