"""How one connection becomes one service: the table of services, the listener, the start of a worker."""
