"""What tests share: a strict IMAP client, a transcript runner and a corpus of mail. Tested in `test_testlib.py`."""
