"""What every line-based mail protocol needs before it understands a command. Nothing here opens anything."""
