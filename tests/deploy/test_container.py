"""The container's files say what the documents promise: read here as text, run where there is the program for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from app.api.endpoints import FORM_BYTES
from app.api.stopping import GRACE_SECONDS
from deploy import trial
from deploy.dockerfile import DOCKERFILE, instructions, stages
from tests.paths import ROOT
from tests.test_house import listed_files

DEPLOY = ROOT / "deploy"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
# Debian's packages and the programs that compile, or bring headers for it.
COMPILERS = re.compile(
    r"(?<![\w.-])(gcc|g\+\+|c\+\+|cc|clang|tcc|make|cmake|cargo|rustc|build-essential|[\w.+-]+-dev)(?![\w.+-])"
)
HADOLINT = Path(sys.prefix) / "bin" / "hadolint"


def compose(name: str) -> dict:
    class Loader(yaml.SafeLoader):
        """Compose's own tag says how two files are merged."""

    Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
    return yaml.load((DEPLOY / name).read_text(encoding="utf-8"), Loader)


def test_instructions_are_found():
    text = '# a\nFROM x AS y\nRUN a \\\n    && b \\\n# why\n    && c\nCMD ["d"]\n'
    assert instructions(text) == [("FROM", "x AS y"), ("RUN", "a && b && c"), ("CMD", '["d"]')]


def test_hadolint_finds_nothing():
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    ignored = re.findall(r"hadolint ignore=(.*)", DOCKERFILE.read_text())
    assert set(ignored) == {"DL3008"}


def test_every_image_is_named_by_its_digest():
    first = DOCKERFILE.read_text(encoding="utf-8").partition("\nFROM ")[0]
    (base,) = re.findall(r"^ARG BASE_IMAGE=(.*)$", first, re.MULTILINE)
    assert DIGEST.search(base)
    assert all(stage[0][1].split()[0] == "${BASE_IMAGE}" for stage in stages())
    images = [service["image"] for service in compose("compose.yaml")["services"].values() if "build" not in service]
    assert images and all(DIGEST.search(image) for image in images)


def test_the_kernel_is_compiled_in_the_builder_stage_only():
    builder, final = stages()
    assert "AS builder" in builder[0][1]
    assert ("RUN", "python -m alignmamba.ops.build") in builder
    assert any(name == "RUN" and COMPILERS.search(rest) for name, rest in builder)
    assert not [rest for name, rest in final if name == "RUN" and COMPILERS.search(rest)]
    check = [rest for name, rest in final if name == "RUN"][-1]
    assert "ALIGNMAMBA_SCAN=cpp" in check, "the image must not be built without the kernel"


def test_models_packages_and_kernels_come_from_the_builder():
    builder, final = stages()
    assert ("RUN", "python -m extractors.assets") in builder
    copied = {rest.split()[1] for name, rest in final if name == "COPY" and rest.startswith("--from=builder")}
    assert copied == {"/opt/venv", "/opt/alignmamba"}
    for stage in (builder, final):
        assert any("ALIGNMAMBA_CACHE=/opt/alignmamba" in rest for name, rest in stage if name == "ENV")


def test_it_runs_as_nobody_in_particular():
    names = [name for name, _rest in stages()[-1]]
    users = [rest for name, rest in stages()[-1] if name == "USER"]
    assert len(users) == 1 and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])
    assert not [rest for name, rest in stages()[-1] if name == "COPY" and "--chown" in rest], "code that it could write"
    assert names.index("USER") < names.index("CMD")


def test_the_command_starts_the_server_itself():
    """Without a shell before it, a signal to stop reaches it."""
    (command,) = (json.loads(rest) for name, rest in stages()[-1] if name == "CMD")
    assert command[:4] == ["python", "-m", "streamlit", "run"]
    assert (ROOT / command[4]).is_file()
    (health,) = (rest for name, rest in stages()[-1] if name == "HEALTHCHECK")
    (port,) = re.findall(r":(\d+)/_stcore/health", health)
    assert f"--server.port={port}" in command
    assert json.loads(health.partition("CMD ")[2])[0] == "python"


def test_the_context_holds_what_is_copied_and_no_more():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    lost = [name for name in allowed if name != ".streamlit" and not (ROOT / name).exists()]
    assert not lost
    for stage in stages():
        sources = [rest.split()[0] for name, rest in stage if name == "COPY" and not rest.startswith("--")]
        assert all(source == "." or any(Path(source).is_relative_to(name) for name in allowed) for source in sources)
    sent = [file for file in listed_files() if any(file == name or file.startswith(f"{name}/") for name in allowed)]
    assert "app/main.py" in sent and "training/reporting/paper.json" in sent
    assert not [file for file in sent if file.startswith(("tests/", ".git", ".ci/"))]


@pytest.mark.parametrize("service", ["app", "proxy"])
def test_compose_limits_every_service(service):
    limits = compose("compose.yaml")["services"][service]
    assert limits["read_only"] is True
    assert limits["cap_drop"] == ["ALL"]
    assert set(limits.get("cap_add", [])) <= {"NET_BIND_SERVICE"}
    assert limits["security_opt"] == ["no-new-privileges:true"]
    assert limits["mem_limit"] == limits["memswap_limit"]
    assert limits["pids_limit"] > 0
    assert "privileged" not in limits


def test_the_app_can_be_reached_through_the_proxy_only_and_reaches_nobody():
    whole = compose("compose.yaml")
    app, proxy = whole["services"]["app"], whole["services"]["proxy"]
    assert "ports" not in app and app["networks"] == ["inside"]
    assert whole["networks"]["inside"]["internal"] is True
    assert app["environment"]["FORWARDED_ALLOW_IPS"] == whole["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert app["environment"]["STREAMLIT_SERVER_ALLOWED_HOSTS"] == proxy["environment"]["DOMAIN"]
    assert proxy["depends_on"]["app"]["condition"] == "service_healthy"


def test_the_app_writes_into_one_tmpfs_and_has_time_to_stop():
    app = compose("compose.yaml")["services"]["app"]
    assert [entry.partition(":")[0] for entry in app["tmpfs"]] == ["/tmp"]
    assert "size=" in app["tmpfs"][0]
    assert "volumes" not in app
    assert float(app["stop_grace_period"].removesuffix("s")) > GRACE_SECONDS + 10


def test_the_gpu_file_changes_the_app_alone():
    (name,) = compose("compose.cuda.yaml")["services"]
    gpu = compose("compose.cuda.yaml")["services"][name]
    assert name == "app" and gpu["build"]["args"]["DEVICE"] == "cuda"
    assert "exec" in gpu["tmpfs"][0].split(","), "Triton loads its driver from there"


def test_the_trial_confines_as_compose_does(tmp_path):
    """Read-only root, one tmpfs for the app, the image's user, no capability, no way out."""
    made = trial.bundle(tmp_path)
    (size,) = re.findall(r"size=\w+", compose("compose.yaml")["services"]["app"]["tmpfs"][0])
    writable = {mount["destination"]: mount["options"] for mount in made["mounts"] if mount["destination"] == "/tmp"}
    assert size in writable["/tmp"] and "noexec" in writable["/tmp"]
    assert made["root"]["readonly"] is True
    process = made["process"]
    assert process["noNewPrivileges"] is True and not any(process["capabilities"].values())
    assert process["user"] == {"uid": 1000, "gid": 1000}
    assert "HOME=/tmp" in process["env"] and "PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin" in process["env"]
    assert {"type": "network"} in made["linux"]["namespaces"]


def test_the_trial_sees_contacts():
    away = '7 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = 0'
    look_up = '7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.11")}, 16) = 0'
    here = '7 connect(3, {sa_family=AF_INET, sin_port=htons(8501), sin_addr=inet_addr("127.0.0.1")}, 16) = 0'
    assert [bool(trial.CONTACT.search(line)) for line in (away, look_up, here)] == [True, True, False]


@pytest.mark.skipif(shutil.which("caddy") is None, reason="there is no Caddy on this machine")
def test_caddy_takes_its_file(tmp_path):
    command = ["caddy", "adapt", "--config", str(DEPLOY / "Caddyfile"), "--adapter", "caddyfile"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DOMAIN": "sentiment.example.com"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    (server,) = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    assert server["read_header_timeout"] == 10_000_000_000, "in ns"
    assert '"selection_policy": {"name": "replica", "policy": "cookie"}' in json.dumps(server, sort_keys=True)
    assert '"host": ["sentiment.example.com"]' in json.dumps(server)


def test_the_proxy_passes_what_the_app_takes_and_little_more():
    sizes = dict(re.findall(r"request_body @(\w+) {\s+max_size (\d+)MB", (DEPLOY / "Caddyfile").read_text()))
    screen = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text())["server"]["maxUploadSize"]
    for name, most in (("upload", screen), ("other", FORM_BYTES / 1e6)):
        assert most < int(sizes[name]) < 1.2 * most
