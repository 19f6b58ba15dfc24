-- index.db: what can be read out of the messages again. May be deleted at any time.

CREATE TABLE parsed (
  message INTEGER PRIMARY KEY,  -- messages.id in meta.db
  header BLOB NOT NULL,         -- the top-level header block with its empty line
  envelope BLOB NOT NULL,       -- ENVELOPE as it goes over the wire
  body BLOB NOT NULL,           -- BODY as it goes over the wire
  structure BLOB NOT NULL       -- BODYSTRUCTURE as it goes over the wire
) STRICT;

