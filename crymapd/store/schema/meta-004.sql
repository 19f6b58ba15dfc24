-- How many messages of a mailbox have a keyword: what FLAGS tells.
CREATE TABLE mailbox_keywords (
  mailbox INTEGER NOT NULL REFERENCES mailboxes ON DELETE CASCADE,
  keyword INTEGER NOT NULL,              -- keywords.id
  messages INTEGER NOT NULL,             -- never 0
  PRIMARY KEY (mailbox, keyword)
) WITHOUT ROWID, STRICT;

-- The same, counted. The flags of a set are read as a JSON array, for which backslashes are doubled.
CREATE VIEW counted_keywords (mailbox, keyword, messages) AS
  SELECT used.mailbox, keywords.id, sum(used.messages)
  FROM (SELECT mailbox, flagset, count(*) AS messages FROM entries GROUP BY mailbox, flagset) used
  JOIN flagsets ON flagsets.id = used.flagset
  JOIN json_each('["' || replace(replace(flagsets.flags, '\', '\\'), ' ', '","') || '"]') flag
  JOIN keywords ON keywords.name = flag.value
  GROUP BY used.mailbox, keywords.id;
INSERT INTO mailbox_keywords SELECT * FROM counted_keywords;

-- Threads of several messages may have joined strangers when `<yes>` and the like still counted as Message-IDs. Daily
-- maintenance divides them. Until it has, these tables hold what is left to do and what was decided.
CREATE TABLE mixed_threads (
  thread BLOB PRIMARY KEY,
  kept INTEGER NOT NULL DEFAULT 0        -- 1: some of its messages keep it as their THREADID
) WITHOUT ROWID, STRICT;
CREATE TABLE undivided (
  message INTEGER PRIMARY KEY            -- a message of such a thread, or one that has come since
) STRICT;
CREATE TABLE divided_references (
  reference BLOB PRIMARY KEY,            -- as in `threads`, whose rows these replace in the end
  thread BLOB NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO mixed_threads (thread)
  SELECT thread FROM messages WHERE thread IS NOT NULL GROUP BY thread HAVING count(*) > 1;
INSERT INTO undivided SELECT id FROM messages WHERE thread IN (SELECT thread FROM mixed_threads);
CREATE TRIGGER undivided_message_added AFTER INSERT ON messages WHEN EXISTS (SELECT 1 FROM undivided) BEGIN
  INSERT INTO undivided VALUES (new.id);
END;
CREATE TRIGGER undivided_message_removed AFTER DELETE ON messages BEGIN
  DELETE FROM undivided WHERE message = old.id;
END;
