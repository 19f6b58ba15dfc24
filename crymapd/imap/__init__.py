"""IMAP: from octets (`wire`) over commands and states to what is done (`handler`) and answered.

A command's way: `connection` cuts it out of the stream, `dispatch` has it parsed by the row of
`state.COMMANDS`, the handler of the same name does it, `update` tells what else happened.
"""
