"""Benchmarks, whose figures `make bench` prints. Nothing here is a test, and nothing is installed."""
