"""Our answers beside those of another server: a developer's tool, see `__main__`."""
