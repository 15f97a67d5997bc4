"""A trial of the container as compose.yaml confines it, by runc and without a daemon.

Run as root: `python -m deploy.trial cpu=ROOT cuda=ROOT`, each an image by what its `DEVICE` was, with its file system
(`buildah mount`, `docker export`). A container has a read-only root, one tmpfs, an ordinary user, no capability and a
network without any way out. It is started under strace, analyses a sample, is asked to stop. What came out goes to
`benchmarks/results/container-cpu.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.dockerfile import stages
from training.reporting.result_files import write

NAME = "alignmamba-trial"
TMPFS = ["nosuid", "nodev", "noexec", "mode=1777", "size=2g"]  # as Docker mounts one
START_SECONDS, STOP_SECONDS = 900.0, 60.0
COMPILERS = ("cc", "gcc", "c++", "g++", "clang", "tcc")
# What strace writes of an address: sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")
CONTACT = re.compile(
    r'\b(?:connect|sendto|sendmsg|sendmmsg)\(.*(?:inet_addr\("(?!127\.)|AF_INET6, "(?!::)|htons\(53\))'
)
ASK = """
import json, time, urllib.request
clip = open("app/samples/positive.webm", "rb").read()
head = b'--b\\r\\ncontent-disposition: form-data; name="file"; filename="a.webm"\\r\\n\\r\\n'
body = head + clip + b"\\r\\n--b--\\r\\n"
headers = {"content-type": "multipart/form-data; boundary=b"}
began = time.monotonic()
request = urllib.request.Request("http://127.0.0.1:8501/api/v1/analyse", body, headers)
answer = json.load(urllib.request.urlopen(request, timeout=900))
print(json.dumps({"seconds": time.monotonic() - began, "answer": answer}))
"""


def bundle(root: Path) -> dict[str, Any]:
    """The OCI configuration: what the Dockerfile says, in the confinement of compose.yaml."""
    final = stages()[-1]
    last = dict(final)
    variables = [pair for name, rest in final if name == "ENV" for pair in shlex.split(rest)]
    user, group = map(int, last["USER"].split(":"))
    path = "/usr/local/bin:/usr/bin:/bin"
    capabilities: dict[str, list[str]] = {name: [] for name in ("bounding", "effective", "permitted", "ambient")}
    mounts = [
        ("/proc", "proc", []),
        ("/dev", "tmpfs", ["nosuid", "mode=755", "size=64k"]),
        ("/dev/shm", "tmpfs", ["nosuid", "nodev", "noexec", "mode=1777", "size=64m"]),  # noqa: S108  # as Docker's
        ("/sys", "sysfs", ["nosuid", "nodev", "noexec", "ro"]),
        ("/tmp", "tmpfs", TMPFS),  # noqa: S108  # the container's own
    ]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "hostname": NAME,
        "process": {
            "args": json.loads(last["CMD"]),
            "cwd": last["WORKDIR"],
            "env": [variable.replace("$PATH", path) for variable in variables],
            "user": {"uid": user, "gid": group},
            "capabilities": capabilities,
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": where, "type": kind, "source": kind, "options": options} for where, kind, options in mounts
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def inside(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the container, as its user."""
    return subprocess.run(["runc", "exec", NAME, *command], capture_output=True, text=True, check=check)  # noqa: S603, S607


def wait_until_healthy(container: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the image's own health check.

    Raises:
        RuntimeError: If it does not start.
    """
    check = json.loads(dict(stages()[-1])["HEALTHCHECK"].partition("CMD ")[2])
    end = time.monotonic() + START_SECONDS
    while inside(*check, check=False).returncode != 0:
        if container.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the container did not start:\n{log.read_text()}")
        time.sleep(1)


def tried(root: Path, folder: Path) -> dict[str, Any]:
    """Start, ask and stop a container; return what was seen."""
    (folder / "config.json").write_text(json.dumps(bundle(root)))
    trace, log = folder / "trace", folder / "log"
    under = [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-s",
        "200",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "-o",
        str(trace),
    ]
    with log.open("wb") as stream:
        began = time.monotonic()
        command = [*under, "runc", "run", "--bundle", str(folder), NAME]
        container = subprocess.Popen(command, stdout=stream, stderr=stream)  # noqa: S603  # fixed arguments
        try:
            wait_until_healthy(container, log)
            healthy = time.monotonic() - began
            found = inside("sh", "-c", f"command -v {' '.join(COMPILERS)}; true").stdout.split()
            places = ("/", "/srv/alignmamba", "/opt/alignmamba", "/opt/venv", "/var/tmp")  # noqa: S108
            writable = [place for place in places if inside("touch", f"{place}/x", check=False).returncode == 0]
            user = int(inside("id", "-u").stdout)
            answered = json.loads(inside("python", "-c", ASK).stdout)
            asked = time.monotonic()
            subprocess.run(["runc", "kill", NAME, "TERM"], check=True)  # noqa: S603, S607
            container.wait(STOP_SECONDS)
            stopped = time.monotonic() - asked
        finally:
            subprocess.run(["runc", "delete", "--force", NAME], capture_output=True, check=False)  # noqa: S603, S607
            container.wait()
    text = log.read_text(errors="replace")
    print(text, file=sys.stderr)
    answer = answered["answer"]
    return {
        "seconds_until_healthy": round(healthy, 1),
        "seconds_of_first_analysis": round(answered["seconds"], 1),
        "score": answer["prediction"]["score"],
        "backend": answer["prediction"]["backend"],
        "seconds_until_stopped": round(stopped, 1),
        "user": user,
        "compilers": found,
        "writable_outside_tmpfs": writable,
        "contacts": len(CONTACT.findall(trace.read_text(errors="replace"))),
        "traced_lines": len(trace.read_text(errors="replace").splitlines()),
        "tracebacks": text.count("Traceback"),
        "file_system_bytes": size_of(root),
    }


def size_of(root: Path) -> int:
    """Bytes of the files below a folder, each counted once, whatever is mounted there left out."""
    device, seen, total = root.stat().st_dev, set(), 0
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if (Path(place) / name).lstat().st_dev == device]
        for name in files:
            status = (Path(place) / name).lstat()
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
    return total


def main() -> int:
    """Try containers one after the other, and write what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("images", nargs="+", metavar="DEVICE=ROOT", help="cpu or cuda, and the image's file system")
    rows = []
    for image in parser.parse_args().images:
        built_for, _, root = image.partition("=")
        if built_for not in ("cpu", "cuda") or not Path(root).is_dir():
            parser.error(f"{image!r}, expected cpu= or cuda= and a folder")
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"built_for": built_for, **tried(Path(root).resolve(), Path(folder))})
    command = " ".join(["python -m deploy.trial", *(f"{row['built_for']}=ROOT" for row in rows)])
    print(write("container", command, rows, device="cpu"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
