-- What UTF-8 clients see where it differs, and the preview. Nothing is carried over: it is made again.
DROP TABLE parsed;
CREATE TABLE parsed (
  message INTEGER PRIMARY KEY,  -- messages.id in meta.db
  header BLOB NOT NULL,         -- the top-level header block with its empty line
  envelope BLOB NOT NULL,       -- ENVELOPE as it goes over the wire
  body BLOB NOT NULL,           -- BODY likewise
  structure BLOB NOT NULL,      -- BODYSTRUCTURE likewise
  envelope8 BLOB,               -- the same for clients that take UTF-8; NULL where all is ASCII
  body8 BLOB,
  structure8 BLOB,
  preview TEXT NOT NULL         -- PREVIEW (RFC 8970)
) STRICT;
