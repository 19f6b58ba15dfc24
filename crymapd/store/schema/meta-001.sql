-- meta.db: what is in which mailbox. Encrypted; see docs/store.md.

-- Facts about the database itself.
--   changes       counts committed writes; the file `epoch` remembers how far clients have seen
--   uidvalidity   the last UIDVALIDITY given out
--   is_copy       1 in a backup copy: opening it as meta.db means it was restored
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO settings VALUES ('changes', 0), ('uidvalidity', 0), ('is_copy', 0);

CREATE TABLE mailboxes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused
  name TEXT NOT NULL UNIQUE,             -- whole path, levels parted by '/'
  object_id TEXT NOT NULL UNIQUE,        -- MAILBOXID (RFC 8474), kept by RENAME
  selectable INTEGER NOT NULL DEFAULT 1, -- 0: a \Noselect remnant that has children
  special_use TEXT,                      -- '\Sent' ... (RFC 6154) or NULL
  uidvalidity INTEGER NOT NULL,
  next_uid INTEGER NOT NULL DEFAULT 1,
  recent_uid INTEGER NOT NULL DEFAULT 1, -- messages from here on have been shown to nobody (\Recent)
  modseq INTEGER NOT NULL DEFAULT 1,     -- highest modification sequence (RFC 7162)
  pruned INTEGER NOT NULL DEFAULT 0,     -- expunges up to this modseq are no longer remembered
  messages INTEGER NOT NULL DEFAULT 0,   -- counters, so that STATUS and SELECT need no scan
  unseen INTEGER NOT NULL DEFAULT 0,
  deleted INTEGER NOT NULL DEFAULT 0,
  octets INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Every keyword ever used in the account, in the spelling first seen.
CREATE TABLE keywords (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE
) STRICT;

-- Each combination of flags in use: a message has one number, however many flags.
CREATE TABLE flagsets (
  id INTEGER PRIMARY KEY,
  flags TEXT NOT NULL UNIQUE,            -- as in a FETCH answer, system flags first
  seen INTEGER NOT NULL,
  deleted INTEGER NOT NULL
) STRICT;
INSERT INTO flagsets VALUES (0, '', 0, 0);

-- One sealed file each.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  file BLOB NOT NULL UNIQUE,             -- 32 octets: SHA3-256 of the sealed file, its name
  email_id BLOB NOT NULL,                -- 16 octets: EMAILID (RFC 8474)
  body_key BLOB NOT NULL,                -- 32 octets: saves opening the sealed head again
  size INTEGER NOT NULL,                 -- octets served (RFC822.SIZE)
  received INTEGER NOT NULL,             -- INTERNALDATE, seconds since 1970 UTC
  zone INTEGER NOT NULL,                 -- its zone, minutes east of UTC
  placed INTEGER NOT NULL DEFAULT 0,     -- 1: the file is known to be under messages/
  damaged TEXT,                          -- why a note is served in its place
  copies INTEGER NOT NULL DEFAULT 0,     -- entries that refer to it
  released INTEGER                       -- when the last entry went (seconds)
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
  saved INTEGER NOT NULL,                -- SAVEDATE (RFC 8514), seconds
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

-- What was expunged when, for sessions that have not been told and for QRESYNC.
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
