"""Coverage of everything that a run of the tests starts: `make test COVERAGE=yes`."""
