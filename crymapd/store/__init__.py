"""One user's mail at rest.

The path of a message: `inbox` seals it into `new/` without any password; `filing` gives it rows in
`meta.db` and a place under `messages/`; `mailboxes` and `entries` are what sessions see of it.

The rules: every change by `Mailboxes` and `Entries` is one transaction, no transaction leaves this
package, and nothing is announced before it is committed.  Processes learn of each other through files
only: SQLite puts the writers in order, and `watch` wakes the readers.
"""
