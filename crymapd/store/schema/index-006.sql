-- Mail is read in another way: charsets, the search form (mime/text.py), previews and structures. What was made of
-- messages before is made again.
DELETE FROM headers;
DELETE FROM rendered;
DELETE FROM fields;
DELETE FROM texts;
INSERT INTO words (words) VALUES ('delete-all');
DELETE FROM unindexed;
UPDATE progress SET complete = 0, incarnation = randomblob(8);
