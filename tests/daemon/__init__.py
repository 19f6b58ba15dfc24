"""Tests of the daemon that need no whole server."""
