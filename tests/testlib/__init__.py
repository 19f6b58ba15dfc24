"""What tests share, with tests of its own: a strict IMAP client, a transcript runner, a corpus of mail."""
