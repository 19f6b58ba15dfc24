-- A random token that changes whenever the tables are emptied: earlier answers no longer hold then.
ALTER TABLE progress ADD COLUMN incarnation BLOB;
UPDATE progress SET incarnation = randomblob(8);
