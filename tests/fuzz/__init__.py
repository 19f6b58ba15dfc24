"""Fuzzing: `targets` say what must hold for any octets, `python -m tests.fuzz` tries to break it (`make fuzz`)."""
