"""Octets of IMAP: cutting commands into fragments, reading and writing the grammar of RFC 9051 section 9."""
