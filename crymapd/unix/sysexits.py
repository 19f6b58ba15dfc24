"""The exit statuses of sysexits(3), by which mail transfer agents tell permanent failures from temporary ones."""

USAGE = 64
DATAERR = 65
NOINPUT = 66
NOUSER = 67
SOFTWARE = 70
CANTCREAT = 73
TEMPFAIL = 75
NOPERM = 77
CONFIG = 78
