-- How many messages of a mailbox no session has been told of as \Recent, so that STATUS and SELECT need not count.
ALTER TABLE mailboxes ADD COLUMN recent INTEGER NOT NULL DEFAULT 0;
UPDATE mailboxes SET recent =
  (SELECT count(*) FROM entries WHERE entries.mailbox = mailboxes.id AND entries.uid >= mailboxes.recent_uid);

-- THREADID (RFC 8474): the EMAILID of the first message of the thread; NULL in rows that are older than this.
ALTER TABLE messages ADD COLUMN thread BLOB;

-- The thread to which a Message-ID belongs.
CREATE TABLE threads (
  reference BLOB PRIMARY KEY,            -- the first 16 octets of the SHA-256 of a Message-ID
  thread BLOB NOT NULL
) WITHOUT ROWID, STRICT;

-- How many messages a mailbox has in each block of 1024 UIDs, so that the sequence number of a UID is known
-- without counting from the beginning.
CREATE TABLE blocks (
  mailbox INTEGER NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
  block INTEGER NOT NULL,                -- UID / 1024
  messages INTEGER NOT NULL,
  PRIMARY KEY (mailbox, block)
) WITHOUT ROWID, STRICT;
INSERT INTO blocks SELECT mailbox, uid >> 10, count(*) FROM entries GROUP BY 1, 2;

CREATE TRIGGER entry_counted AFTER INSERT ON entries BEGIN
  INSERT INTO blocks VALUES (new.mailbox, new.uid >> 10, 1) ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TRIGGER entry_uncounted AFTER DELETE ON entries BEGIN
  UPDATE blocks SET messages = messages - 1 WHERE mailbox = old.mailbox AND block = old.uid >> 10;
END;

-- For quotas, the octets and the number of sealed files whose messages are in a mailbox. They are settings, and
-- repeated in the file `epoch` after each commit, so that a delivery knows them without the password.
ALTER TABLE messages ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0; -- octets of the sealed file
INSERT INTO settings VALUES ('sealed', 0), ('files', (SELECT count(*) FROM messages WHERE copies > 0));

CREATE TRIGGER message_in_use AFTER UPDATE OF copies ON messages WHEN old.copies = 0 AND new.copies > 0 BEGIN
  UPDATE settings SET value = value + new.sealed WHERE name = 'sealed';
  UPDATE settings SET value = value + 1 WHERE name = 'files';
END;
CREATE TRIGGER message_out_of_use AFTER UPDATE OF copies ON messages WHEN old.copies > 0 AND new.copies = 0 BEGIN
  UPDATE settings SET value = value - old.sealed WHERE name = 'sealed';
  UPDATE settings SET value = value - 1 WHERE name = 'files';
END;

CREATE INDEX expunges_message ON expunges (message);
