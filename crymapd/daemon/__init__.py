"""How one connection becomes one service: the listener, and the worker's start in one readable order."""
