-- Random, another one when the tables are emptied: what was asked before says nothing about them then.
ALTER TABLE progress ADD COLUMN incarnation BLOB;
UPDATE progress SET incarnation = randomblob(8);
