"""A seccomp filter as bytes for `bwrap --seccomp`, made here so that no library is needed.

It names what a program under test has no use for: tracing, sockets, namespaces and mounts, kernel
keys, modules and clocks, and memory that no resource limit counts (memfd, System V). Those calls
fail with EPERM; `clone3` fails with ENOSYS, because its flags can't be seen from a filter and libc
then takes `clone`, whose flags can. Everything else is allowed: the walls are the namespaces, the
user id and the limits; this only makes the kernel's surface smaller.

The numbers are the kernel's own (arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arch:
    """What a filter must know of a machine."""

    audit: int
    """AUDIT_ARCH_..., by which calls of another ABI (32 bit) are told and killed."""
    clone: int
    denied: tuple[int, ...]
    limit: int | None = None
    """Numbers from here on are another ABI (x32) and killed."""


CLONE_NEW = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
CLONE3 = 435
# Same number everywhere, being younger than the unified table: pidfd_send_signal, io_uring_setup,
# _enter and _register; open_tree, move_mount, fsopen, fsconfig, fsmount, fspick; pidfd_open,
# pidfd_getfd; process_madvise, mount_setattr, quotactl_fd, memfd_secret.
_EVERYWHERE = (*range(424, 435), 438, 440, 442, 443, 447)
# In this order: ptrace, process_vm_readv, process_vm_writev, kcmp, socket, bpf, perf_event_open,
# userfaultfd, unshare, setns, mount, umount2, pivot_root, chroot, keyctl, add_key, request_key,
# memfd_create, shmget, msgget, semget, name_to_handle_at, open_by_handle_at, kexec_load,
# kexec_file_load, init_module, finit_module, delete_module, reboot, swapon, swapoff, syslog,
# acct, quotactl, settimeofday, clock_settime, adjtimex, clock_adjtime, fanotify_init,
# migrate_pages, move_pages, mbind, set_mempolicy, vhangup, personality, lookup_dcookie;
# on x86_64 also iopl, ioperm, modify_ldt, uselib.
# fmt: off
_X86_64 = (
    101, 310, 311, 312, 41, 321, 298, 323, 272, 308, 165, 166, 155, 161, 250, 248, 249, 319, 29,
    68, 64, 303, 304, 246, 320, 175, 313, 176, 169, 167, 168, 103, 163, 179, 164, 227, 159, 305,
    300, 256, 279, 237, 238, 153, 135, 212, 172, 173, 154, 134,
)
_AARCH64 = (
    117, 270, 271, 272, 198, 280, 241, 282, 97, 268, 40, 39, 41, 51, 219, 217, 218, 279, 194,
    186, 190, 264, 265, 104, 294, 105, 273, 106, 142, 224, 225, 116, 89, 60, 170, 112, 171, 266,
    262, 238, 239, 235, 237, 58, 92, 18,
)
# fmt: on
ARCHES = {
    "x86_64": Arch(audit=0xC000003E, clone=56, denied=_X86_64, limit=0x40000000),
    "aarch64": Arch(audit=0xC00000B7, clone=220, denied=_AARCH64),
}
"""By `os.uname().machine`; on another machine there is no filter and so no sandbox."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _AUDIT, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def seccomp_filter(arch: Arch) -> bytes:
    """The filter as an array of `struct sock_filter`, little endian."""
    denied = (*arch.denied, *_EVERYWHERE)
    lines = [(_LOAD, 0, 0, _AUDIT), (_EQUAL, 1, 0, arch.audit), _end(_KILL), (_LOAD, 0, 0, _NUMBER)]
    if arch.limit is not None:
        lines += [(_AT_LEAST, 0, 1, arch.limit), _end(_KILL)]
    lines += [(_EQUAL, 0, 1, CLONE3), _end(_ERROR | errno.ENOSYS)]
    for number in denied:
        lines += [(_EQUAL, 0, 1, number), _end(_ERROR | errno.EPERM)]
    lines += [(_EQUAL, 0, 3, arch.clone), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    lines += [(_ANY_BIT, 0, 1, CLONE_NEW), _end(_ERROR | errno.EPERM), _end(_ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _end(action: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, action)
