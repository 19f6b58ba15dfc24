"""The entry of `crymap-deliver`: whatever happens, it ends with a status of sysexits(3), which an MTA understands.

A program that cannot even be loaded, in the middle of an upgrade or for want of descriptors or memory, would end with
1, and the MTA would send the mail back.  So nothing is imported here that could fail, and the agent itself
(`cli/mda.py`) is loaded where its failure is caught.
"""

import os
import sys
from contextlib import suppress

_OK, _FIRST, _LAST, _TEMPFAIL = 0, 64, 78, 75


def main() -> None:
    """Run the agent and end the process."""
    status = _TEMPFAIL
    try:
        from crymapd.cli import mda

        mda.main()
        status = _OK
    except SystemExit as ended:
        status = _status(ended.code)
    except BaseException as error:
        _say(f"crymap-deliver: {type(error).__name__}: {error}")
    finally:
        # Python would end with a status of its own if standard output or error cannot be flushed. Mail that has been
        # delivered stays delivered all the same.
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        os._exit(status)


def _status(code: object) -> int:
    if code is None:
        return _OK
    return code if isinstance(code, int) and (code == _OK or _FIRST <= code <= _LAST) else _TEMPFAIL


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, text.encode("utf-8", "backslashreplace") + b"\n")


if __name__ == "__main__":
    main()
