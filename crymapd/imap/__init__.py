"""IMAP, from octets (`wire`) through commands (`command`) and what we do with them (`handler`) to answers (`response`).

`connection` cuts a command out of the stream, and `dispatch` parses it with its row of `state.COMMANDS`. Its table
HANDLERS says which handler carries the command out, and `update` tells the client what other sessions did meanwhile.
"""
