-- Columns that clients fetch together get a table of their own, and search texts come in.
-- Nothing is carried over from `parsed`: it is made again when it is asked for.
DROP TABLE parsed;

CREATE TABLE headers (
  message INTEGER PRIMARY KEY,  -- messages.id in meta.db
  header BLOB NOT NULL          -- the top-level header block with its empty line
) STRICT;

CREATE TABLE rendered (
  message INTEGER PRIMARY KEY,
  envelope BLOB NOT NULL,       -- ENVELOPE as it goes over the wire
  body BLOB NOT NULL,           -- BODY as it goes over the wire
  structure BLOB NOT NULL,      -- BODYSTRUCTURE as it goes over the wire
  envelope8 BLOB,               -- these three for clients that take UTF-8; NULL if there is no difference
  body8 BLOB,
  structure8 BLOB,
  preview BLOB NOT NULL,        -- PREVIEW (RFC 8970) in UTF-8
  fields BLOB                   -- the fields that Thunderbird asks for; NULL where the header is too long
) STRICT;

-- Search texts in search form (mime/text.py), compressed. A message that has a row here is in `words`, too.
CREATE TABLE texts (
  message INTEGER PRIMARY KEY,
  folded BLOB                   -- NULL if the texts are too long to be kept: a search reads the message
) STRICT;
CREATE VIRTUAL TABLE words USING fts5(
  folded, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);

-- Every message up to the id `complete` is in `texts`, or else in `unindexed`: those each search must read.
CREATE TABLE progress (
  complete INTEGER NOT NULL
) STRICT;
INSERT INTO progress VALUES (0);
CREATE TABLE unindexed (
  message INTEGER PRIMARY KEY
) STRICT;
