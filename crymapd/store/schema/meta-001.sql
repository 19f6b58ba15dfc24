-- meta.db: the mailboxes and the messages in them. The file is encrypted; see docs/store.md.

-- Facts about the database itself:
--   changes       the number of committed changes; the file `epoch` has how many clients may have seen
--   uidvalidity   the last UIDVALIDITY that was given out
--   is_copy       1 in a backup: if meta.db has it, that backup was restored
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO settings VALUES ('changes', 0), ('uidvalidity', 0), ('is_copy', 0);

CREATE TABLE mailboxes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused
  name TEXT NOT NULL UNIQUE,             -- whole path, levels separated by '/'
  object_id TEXT NOT NULL UNIQUE,        -- MAILBOXID (RFC 8474), kept by RENAME
  selectable INTEGER NOT NULL DEFAULT 1, -- 0: a \Noselect remnant that has children
  special_use TEXT,                      -- '\Sent' ... (RFC 6154) or NULL
  uidvalidity INTEGER NOT NULL,
  next_uid INTEGER NOT NULL DEFAULT 1,
  recent_uid INTEGER NOT NULL DEFAULT 1, -- no session has been told of messages from here on as \Recent
  modseq INTEGER NOT NULL DEFAULT 1,     -- highest modification sequence (RFC 7162)
  pruned INTEGER NOT NULL DEFAULT 0,     -- expunges up to this modseq are no longer remembered
  messages INTEGER NOT NULL DEFAULT 0,   -- counters, so that STATUS and SELECT need no scan
  unseen INTEGER NOT NULL DEFAULT 0,
  deleted INTEGER NOT NULL DEFAULT 0,
  octets INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The keywords of the account, in the spelling that was used first; unused ones are forgotten.
CREATE TABLE keywords (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE
) STRICT;

-- Flag sets: combinations of flags. An entry refers to one of them, however many flags it has.
CREATE TABLE flagsets (
  id INTEGER PRIMARY KEY,
  flags TEXT NOT NULL UNIQUE,            -- as in a FETCH response, system flags first
  seen INTEGER NOT NULL,
  deleted INTEGER NOT NULL
) STRICT;
INSERT INTO flagsets VALUES (0, '', 0, 0);

-- One row for each sealed file.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  file BLOB NOT NULL UNIQUE,             -- 32 octets: SHA3-256 of the sealed file, its name
  email_id BLOB NOT NULL,                -- 16 octets: EMAILID (RFC 8474)
  body_key BLOB NOT NULL,                -- 32 octets; kept here so that the sealed head need not be opened again
  size INTEGER NOT NULL,                 -- octets of the message, or of the note in its place (RFC822.SIZE)
  received INTEGER NOT NULL,             -- INTERNALDATE, seconds since 1970 UTC
  zone INTEGER NOT NULL,                 -- time zone of INTERNALDATE, minutes east of UTC
  placed INTEGER NOT NULL DEFAULT 0,     -- 1: the file is known to be under messages/
  damaged TEXT,                          -- why a note stands in its place; NULL if it is whole
  copies INTEGER NOT NULL DEFAULT 0,     -- how many entries refer to it
  released INTEGER                       -- when its last entry was removed, seconds since 1970 UTC; NULL before
) STRICT;
CREATE INDEX messages_released ON messages (released) WHERE released IS NOT NULL;
CREATE INDEX messages_unplaced ON messages (id) WHERE placed = 0;

-- A message in a mailbox.
CREATE TABLE entries (
  mailbox INTEGER NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
  uid INTEGER NOT NULL,
  message INTEGER NOT NULL REFERENCES messages,
  flagset INTEGER NOT NULL REFERENCES flagsets,
  modseq INTEGER NOT NULL,
  saved INTEGER NOT NULL,                -- SAVEDATE (RFC 8514), seconds since 1970 UTC
  PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID, STRICT;
CREATE INDEX entries_modseq ON entries (mailbox, modseq);
CREATE INDEX entries_message ON entries (message);

CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
  UPDATE messages SET copies = copies + 1, released = NULL WHERE id = new.message;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
  UPDATE messages SET copies = copies - 1, released = iif(copies = 1, unixepoch(), NULL) WHERE id = old.message;
END;

-- Expunges, for sessions that have not been told of them and for QRESYNC (RFC 7162).
CREATE TABLE expunges (
  mailbox INTEGER NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
  modseq INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  message INTEGER NOT NULL,
  flagset INTEGER NOT NULL,
  saved INTEGER NOT NULL,
  PRIMARY KEY (mailbox, modseq, uid)
) WITHOUT ROWID, STRICT;
CREATE INDEX expunges_uid ON expunges (mailbox, uid);

CREATE TABLE subscriptions (
  name TEXT PRIMARY KEY
) WITHOUT ROWID, STRICT;
