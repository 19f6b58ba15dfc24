"""Secrets, key slots, sealing key pairs, sealed streams. No mail and no paths.

`docs/store.md` describes every byte; `tests/crypto/vectors` holds known answers.
"""
