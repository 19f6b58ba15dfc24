"""The exit statuses of sysexits(3), by which mail transfer agents tell permanent failures from temporary ones."""

OK = 0
USAGE = 64
DATAERR = 65
NOINPUT = 66
NOUSER = 67
UNAVAILABLE = 69
SOFTWARE = 70
OSERR = 71
OSFILE = 72
CANTCREAT = 73
IOERR = 74
TEMPFAIL = 75
PROTOCOL = 76
NOPERM = 77
CONFIG = 78
