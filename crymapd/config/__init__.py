"""TOML files into frozen typed objects, with errors that name file, key and what was expected."""
