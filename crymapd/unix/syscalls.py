"""What a worker may not ask of the kernel once its client has logged in, by libseccomp; Linux only.

Landlock decides about files and TCP, file modes about the rest of the disk. What is left is new ways out: other
programs, sockets that Landlock does not know, memory that is no file, kernel interfaces with a long record of holes.
A worker needs none of these, so each answers EPERM.

The filter is built when this module is imported: a confined process could not load the library.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from contextlib import suppress

DENIED = (
    # other programs and other processes
    *("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    # namespaces and file systems
    *("unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("move_mount", "open_tree", "mount_setattr", "open_by_handle_at", "name_to_handle_at", "swapon", "swapoff"),
    # memory that is no file of the user's
    *("memfd_create", "memfd_secret", "userfaultfd", "shmget", "shmat", "shmctl", "semget", "msgget"),
    # interfaces of the kernel that have been ways into it
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "add_key", "request_key"),
    *("keyctl", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "acct"),
    *("quotactl", "modify_ldt", "iopl", "ioperm", "personality", "uselib", "vmsplice"),
    # new connections and listeners
    *("bind", "listen", "accept", "accept4"),
)
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
_UNKNOWN_CALL = -1
_NEW_USER = 0x10000000


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class _Filter:
    """A filter that allows what no rule denies."""

    def __init__(self, library: ctypes.CDLL) -> None:
        library.seccomp_init.restype = ctypes.c_void_p
        self._library = library
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
        if not self._context:
            raise OSError(errno.ENOMEM, "seccomp_init failed")

    def deny(self, name: str, code: int = errno.EPERM, *comparisons: _Comparison) -> None:
        """Deny a system call, or those calls of which all comparisons hold. One that this machine lacks is skipped."""
        number = self._library.seccomp_syscall_resolve_name(name.encode("ascii"))
        if number == _UNKNOWN_CALL:
            return
        array = (_Comparison * len(comparisons))(*comparisons)
        result = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(_ERRNO | code), number, len(comparisons), array
        )
        if result < 0 and number >= 0:
            raise OSError(-result, f"seccomp refuses the rule for {name}")

    def load(self) -> None:
        """Apply the filter to this process and its children, for good. Raises OSError."""
        result = self._library.seccomp_load(self._context)
        if result < 0:
            raise OSError(-result, "the kernel refuses the filter of system calls")


def _built() -> _Filter | None:
    if sys.platform != "linux":
        return None
    with suppress(OSError):
        made = _Filter(ctypes.CDLL("libseccomp.so.2"))
        for name in DENIED:
            made.deny(name)
        made.deny("socket", errno.EPERM, _Comparison(0, _NOT_EQUAL, socket.AF_UNIX, 0))  # syslog(3) may need that one
        made.deny("clone", errno.EPERM, _Comparison(0, _MASKED_EQUAL, _NEW_USER, _NEW_USER))
        made.deny("clone3", errno.ENOSYS)  # whose flags a filter cannot see; the C library then uses clone
        return made
    return None


_filter = _built()


def restrict() -> bool:
    """Deny `DENIED` to this process for good; False where there is no libseccomp, or no filter in the kernel.

    Raises:
        OSError: the kernel refuses the filter.
    """
    if _filter is None:
        return False
    try:
        _filter.load()
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True
