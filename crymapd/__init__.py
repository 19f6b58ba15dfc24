"""crymapd: an IMAP server whose mail at rest only its owner can read."""

__version__ = "0.1.0"
