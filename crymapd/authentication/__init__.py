"""Who a client is: what it says of itself, in the same words whatever protocol it speaks, and whether that is true."""
