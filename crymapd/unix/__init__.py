"""What the kernel gives: files, privileges, sandbox, notification, socket activation, exit codes."""
