"""Restricting a process to one directory (Landlock), and its memory to itself.

Landlock (Linux >= 5.13) through the three system calls; there is no library for it in the
distributions.  Where the kernel lacks it, `restrict_to` says so and the caller logs it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_RULE_PATH_BENEATH = 1
_VERSION_QUERY = 1
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_EXECUTE = 1 << 0
_NET_ALL = 0b11
_SCOPE_ALL = 0b11


class _RulesetAttr(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def harden() -> None:
    """No core dump, no ptrace by the same user, no new privileges through set-uid programs.

    Raises:
        OSError: the kernel refuses one of these.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
            if libc.prctl(option, value, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def restrict_to(directory: Path) -> bool:
    """Allow this process and its children to reach only `directory`; False where that is not to be had.

    No new TCP connections or listeners either (Landlock ABI 4), and no signals to strangers (ABI 6).
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_QUERY)
    if abi < 1:
        return False
    rights = _RIGHTS_BY_ABI[min(abi, max(_RIGHTS_BY_ABI))]
    attr = _RulesetAttr(rights, _NET_ALL if abi >= 4 else 0, _SCOPE_ALL if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    beneath = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(rights & ~_EXECUTE, beneath)
        added = libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(added == 0 and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(beneath)
        os.close(ruleset)
