"""IMAP as octets: reading and writing the grammar of RFC 9051 section 9."""
