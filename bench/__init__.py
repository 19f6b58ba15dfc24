"""What it costs. `make bench` prints the figures; nothing here is a test and nothing is installed."""
