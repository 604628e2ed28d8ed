"""The system calls that a command in the sandbox may not make: a filter in the kernel's BPF, for `bwrap --seccomp`.

See seccomp(2). What it stops: files with setuid or setgid bits, which another user of this machine could run as us;
sockets of other families than the usual ones (AF_VSOCK reaches the host of a virtual machine); new user namespaces;
the kernel's key ring; and ways around the filter itself (other instruction sets, io_uring, openat2).
"""

import errno
import os
import platform
import struct
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SET_ID = 0o6000
_MAKES_FILE = os.O_CREAT | 0x400000  # O_TMPFILE's own bit
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
_X32 = 0x40000000


@dataclass(frozen=True, slots=True)
class _Machine:
    """System calls by their numbers. `modes`: (call, argument with the mode); `opens`: (call, flags, mode)."""

    audit: int
    modes: tuple[tuple[int, int], ...]
    opens: tuple[tuple[int, int, int], ...]
    socket: int
    namespaces: tuple[int, ...]  # clone and unshare, whose first argument holds the flags
    missing: tuple[int, ...]


_NEW = (425, 435, 437)  # io_uring_setup, clone3, openat2: the same everywhere
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        # chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat
        ((90, 1), (91, 1), (268, 2), (452, 2), (85, 1), (133, 1), (259, 2)),
        ((2, 1, 2), (257, 2, 3)),  # open, openat
        41,
        (56, 272),
        (*_NEW, 248, 249, 250, 298, 321, 323),  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
    ),
    "aarch64": _Machine(
        0xC00000B7,
        ((52, 1), (53, 2), (452, 2), (33, 2)),  # fchmod, fchmodat, fchmodat2, mknodat
        ((56, 2, 3),),
        198,
        (220, 97),
        (*_NEW, 217, 218, 219, 241, 280, 282),
    ),
}


def seccomp_filter(machine: str = "") -> bytes | None:
    """The filter for this machine's processor; None where its system calls are not known here."""
    calls = _MACHINES.get(machine or platform.machine())
    if calls is None:
        return None
    program = [_load(4), _step(_EQUAL, calls.audit, 1, 0), _refuse(errno.EPERM), _load(0)]
    program += [_step(_AT_LEAST, _X32, 0, 1), _refuse(errno.ENOSYS)]
    for call in calls.missing:
        program += _when(call, [_refuse(errno.ENOSYS)])
    for call, mode in calls.modes:
        program += _when(call, _unless_any_bit(mode, _SET_ID))
    for call, flags, mode in calls.opens:
        makes = [_load(_argument(flags)), _step(_ANY_BIT, _MAKES_FILE, 1, 0), _step(_RETURN, _ALLOW)]
        program += _when(call, [*makes, *_unless_any_bit(mode, _SET_ID)])
    for call in calls.namespaces:
        program += _when(call, _unless_any_bit(0, _NEW_USER))
    families = [step for family in _FAMILIES for step in (_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW))]
    program += _when(calls.socket, [_load(_argument(0)), *families, _refuse(errno.EAFNOSUPPORT)])
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _when(call: int, then: list[bytes]) -> list[bytes]:
    """`then`, which must return, for this system call; its number must be loaded."""
    return [_step(_EQUAL, call, 0, len(then)), *then]


def _unless_any_bit(argument: int, bits: int) -> list[bytes]:
    return [_load(_argument(argument)), _step(_ANY_BIT, bits, 0, 1), _refuse(errno.EPERM), _step(_RETURN, _ALLOW)]


def _argument(number: int) -> int:
    """Where the lower half of an argument stands in what the filter sees (little-endian)."""
    return 16 + 8 * number


def _load(offset: int) -> bytes:
    return _step(_LOAD, offset)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)
