"""What a client asks for: a frozen value for each command and the function that reads it, one module per family."""
