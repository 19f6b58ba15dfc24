"""Carries out commands: one module per family of commands. A handler returns the tagged answer."""
