-- Conversations that were found by what is no Message-ID (`<yes>`) hold strangers: those who answered the same word. Where
-- that happened only the headers tell, so every conversation of several messages waits to be found anew.
CREATE TABLE rethreading (
  message INTEGER PRIMARY KEY            -- messages.id; its thread, and what `threads` says of it, may be wrong
) STRICT;
INSERT INTO rethreading SELECT id FROM messages WHERE thread IN
  (SELECT thread FROM messages WHERE thread IS NOT NULL GROUP BY thread HAVING count(*) > 1);
