"""Every module can be imported where Unix's own modules, signals and calls are not there, as on Windows."""

from __future__ import annotations

import subprocess
import sys

from tests.paths import ROOT

# The libraries are loaded first, as they are on each system; then ours once more, without what Windows lacks.
IMPORT_TWICE = """
import importlib, os, pkgutil, signal, sys

OURS = ("alignmamba", "app", "extractors", "training")
SCRIPTS = ("app.main", "app.app_pages", "extractors.workers.__main__", "extractors.corpus.cluster", "app.cli.__main__")

def modules():
    for top in OURS:
        package = importlib.import_module(top)
        for found in pkgutil.walk_packages(package.__path__, f"{top}."):
            if not found.name.startswith(SCRIPTS):
                yield found.name

names = list(modules())
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
    del sys.modules[name]
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGCHLD", "SIGXCPU"):
    delattr(signal, name)
UNIX_CALLS = "fork geteuid getuid getpgid killpg mkfifo sched_getaffinity setsid sysconf uname"
for name in UNIX_CALLS.split():
    delattr(os, name)
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_no_module_needs_unix_to_be_imported():
    done = subprocess.run([sys.executable, "-c", IMPORT_TWICE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 100
