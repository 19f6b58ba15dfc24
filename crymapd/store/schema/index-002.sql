-- What is fetched together lies together; and what is searched. Nothing is carried over: it is made again.
DROP TABLE parsed;

CREATE TABLE headers (
  message INTEGER PRIMARY KEY,  -- messages.id in meta.db
  header BLOB NOT NULL          -- the top-level header block with its empty line
) STRICT;

CREATE TABLE rendered (
  message INTEGER PRIMARY KEY,
  envelope BLOB NOT NULL,       -- ENVELOPE as it goes over the wire
  body BLOB NOT NULL,           -- BODY likewise
  structure BLOB NOT NULL,      -- BODYSTRUCTURE likewise
  envelope8 BLOB,               -- the same for clients that take UTF-8; NULL where all is ASCII
  body8 BLOB,
  structure8 BLOB,
  preview BLOB NOT NULL,        -- PREVIEW (RFC 8970) in UTF-8
  fields BLOB                   -- the fields that Thunderbird asks for; NULL where the header is too long
) STRICT;

-- The texts that SEARCH looks into, folded (mime/text.py) and compressed; a row means that `words` has it too.
CREATE TABLE texts (
  message INTEGER PRIMARY KEY,
  folded BLOB                   -- NULL where it is too long to be kept: the message is read
) STRICT;
CREATE VIRTUAL TABLE words USING fts5(
  folded, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);

-- Messages up to `complete` are in `texts`, or in `unindexed` (damaged ones): those are read by each search.
CREATE TABLE progress (
  complete INTEGER NOT NULL
) STRICT;
INSERT INTO progress VALUES (0);
CREATE TABLE unindexed (
  message INTEGER PRIMARY KEY
) STRICT;
