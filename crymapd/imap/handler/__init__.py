"""What we do, one module per family, with the names of `command`. A handler returns the tagged answer."""
