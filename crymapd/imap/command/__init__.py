"""What the client asks: frozen values and the functions that read them, one module per family."""
