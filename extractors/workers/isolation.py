"""Isolation of a worker process from every network: a clip, or a library that reports home, can reach nobody.

MediaPipe looks up its maker's server whenever a landmarker is created, and has no switch for that.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import socket
import struct
import sys
from typing import Literal

Method = Literal["namespace", "filter", "proxies"]

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
# Of the processors that are known: the architecture's number, and those of the calls `socket`, `socketpair`, `connect`.
SOCKET_CALLS = {"x86_64": (0xC000003E, 41, 53, 42), "aarch64": (0xC00000B7, 198, 199, 203)}
SOCKET_TYPE_MASK = 0xF  # linux/net.h; the bits above are flags
IO_URING_SETUP = 425  # the same on all; a ring could open sockets past the filter
X32_CALLS = 0x40000000  # numbers from here on are x86_64's second set
EACCES = 13
DEAD_PROXY = "http://127.0.0.1:9"  # the discard port, on which nothing listens

log = logging.getLogger(__name__)


def leave_network() -> tuple[Method, ...]:
    """Take the network away from this process and its children; call it before any thread has started.

    Returns:
        What holds. On Linux: a "filter" of system calls, with which no socket of a network can be opened, so that not
        even a look-up is tried, nor a local one send to another process; and, where that is allowed (in most containers
        it is not), an empty network "namespace" of its own. Elsewhere "proxies" that do not exist, which only libraries
        that honour proxies fail on.
    """
    methods: list[Method] = []
    if sys.platform == "linux":
        if _enter_empty_namespace():
            methods.append("namespace")
        if _filter_sockets():
            methods.append("filter")
    if methods:
        return tuple(methods)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ[name] = os.environ[name.upper()] = DEAD_PROXY
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ""
    log.warning("worker processes keep the network, but for libraries that honour proxies")
    return ("proxies",)


def leave_no_core() -> None:
    """Let a crash of this process write no image of its memory, which holds the clip, to the disk."""
    try:
        import resource
    except ImportError:  # not POSIX
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _enter_empty_namespace() -> bool:
    """Enter a network namespace without interfaces; an ordinary user needs a user namespace around it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    try:  # the ids stay what they were; the kernel maps a group only once no others can be taken on
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
    except OSError as error:  # files are still accessed by the true ids
        log.warning("the ids of a worker process are not mapped: %s", error)
    return True


def _filter_sockets() -> bool:
    """Let the kernel refuse this process every connection, and every socket that needs none to send.

    What is left are local sockets (`AF_UNIX`) that are connected from their making, as a pair, or never: CUDA does not
    start unless it may listen on one.
    """
    if platform.machine() not in SOCKET_CALLS:
        return False
    architecture, socket_call, pair_call, connect_call = SOCKET_CALLS[platform.machine()]
    # Classic BPF over `struct seccomp_data`: the call's number is at offset 0, the architecture at 4, the low half
    # of each argument 8 bytes after the last, from 16. A jump counts the instructions it leaps over, if true and if
    # false; the last two are "allow" and "refuse".
    load, jump_equal, jump_at_least, bit_and, answer = 0x20, 0x15, 0x35, 0x54, 0x06
    program = [
        (load, 0, 0, 4),
        (jump_equal, 0, 13, architecture),
        (load, 0, 0, 0),
        (jump_at_least, 11, 0, X32_CALLS),
        (jump_equal, 10, 0, connect_call),
        (jump_equal, 9, 0, IO_URING_SETUP),
        (jump_equal, 1, 0, pair_call),
        (jump_equal, 0, 6, socket_call),
        (load, 0, 0, 16),  # the family
        (jump_equal, 0, 5, socket.AF_UNIX),
        (load, 0, 0, 24),  # the kind
        (bit_and, 0, 0, SOCKET_TYPE_MASK),
        (jump_equal, 1, 0, socket.SOCK_SEQPACKET),
        (jump_equal, 0, 1, socket.SOCK_STREAM),
        (answer, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        (answer, 0, 0, 0x00050000 | EACCES),  # SECCOMP_RET_ERRNO
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    # `struct sock_fprog`: the number of instructions, and where they are.
    described = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0) == 0
    )
