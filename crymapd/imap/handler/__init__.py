"""Carries out commands: one module per family, named as in `command`. A handler returns the tagged answer."""
