"""What the kernel gives: files, acting as an owner, sandbox, sockets, notification, signals, exit statuses."""
