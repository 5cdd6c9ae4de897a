"""Runs commands on a foreign folder in a process that the kernel keeps in it, and Python watches.

    python confined_process.py FOLDER HOME LOG CODE

Landlock (Linux 5.13 and later) lets this process, its threads, C++ code and children read the
folder and what Python and the system need, write to the folder and to HOME alone, and open no TCP
connection or port. Where it is missing the audit hook watches alone: it logs each file that Python
opens or changes elsewhere, each socket and each process that is started. CODE is run in the end,
with `main`, `inside`, `home`, and `watched`, from which on the hook logs.
"""

import ctypes
import os
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READ = [ROOT, sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys"]
DEVICES = ["/dev/null", "/dev/urandom", "/dev/random"]
# Audit event -> which of its arguments are paths that it changes.
CHANGES = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"), (0,)),
    **dict.fromkeys(("os.chown", "os.utime", "os.setxattr", "shutil.rmtree"), (0,)),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), (0, 1)),
}
STARTS = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request"),
)
# Landlock, linux/landlock.h.
CREATE, ADD, RESTRICT = 444, 445, 446
READ_ONLY = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
FILE_ALONE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # what a rule for a file may allow
TCP = 1 << 0 | 1 << 1  # bind, connect


def confine(read: list[str], write: list[str]) -> int:
    """Landlock for this process; returns its version, 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = max(0, libc.syscall(CREATE, None, 0, 1))
    if version == 0:
        return 0
    handled = ALL_BY_VERSION[min(version, 3)]
    attributes = struct.pack("QQ", handled, TCP if version >= 4 else 0)
    size = 16 if version >= 4 else 8
    rules = libc.syscall(CREATE, attributes, size, 0)
    for path, allowed in [*((p, READ_ONLY) for p in read), *((p, handled) for p in write)]:
        if not os.path.exists(path):
            continue
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = allowed if os.path.isdir(path) else allowed & FILE_ALONE
        rule = struct.pack("=Qi", allowed & handled, opened)
        if libc.syscall(ADD, rules, 1, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"Landlock does not take {path}")
        os.close(opened)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.syscall(RESTRICT, rules, 0) != 0:
        raise OSError(ctypes.get_errno(), "Landlock does not restrict this process")
    os.close(rules)
    return version


def watch(read: list[str], write: list[str], log) -> None:
    """Logs what Python opens, changes and starts elsewhere."""
    read, write = ([os.path.realpath(each) for each in places] for places in (read, write))

    def is_in(path, places) -> bool:
        if not isinstance(path, str | bytes):
            return True  # a descriptor: its opening was seen
        path = os.path.realpath(os.fsdecode(path))
        return any(path == each or path.startswith(each + "/") for each in places)

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            changes = set(mode or "") & set("wax+") or (flags or 0) & (3 | os.O_CREAT | os.O_TRUNC)
            if not is_in(path, write if changes else read + write):
                log.write(f"open {path!r} {mode} {flags}\n")
        elif event in CHANGES:
            if not all(is_in(arguments[number], write) for number in CHANGES[event]):
                log.write(f"{event} {arguments}\n")
        elif event in STARTS and not is_own(event, arguments):
            log.write(f"{event} {arguments}\n")

    sys.addaudithook(hook)


def is_own(event: str, arguments: tuple) -> bool:
    """Whether git is asked for our own commit, or a child looks at an export that was written.

    The child is confined by the kernel like this process.
    """
    if event != "subprocess.Popen":
        return False
    command = list(arguments[1])
    is_check = command[:2] == [sys.executable, "-c"] and "tf.saved_model.load" in command[2]
    return is_check or command[:3] == ["git", "-C", ROOT]


if __name__ == "__main__":
    inside, home, log, code = sys.argv[1:]
    sys.path.insert(0, ROOT)
    sys.dont_write_bytecode = True
    opened = open(log, "w", buffering=1)  # noqa: SIM115 - for the whole process
    write = [inside, home, *DEVICES]
    print(f"Landlock {confine(READ, write)}", flush=True)
    from gmmvi_ext.cli import main

    given = {"main": main, "inside": inside, "home": home}
    given["watched"] = lambda: watch(READ, write, opened)
    exec(compile(code, "<code>", "exec"), given)
