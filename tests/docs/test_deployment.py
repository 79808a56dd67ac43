"""The container files, the workflow and scripts/demo.sh agree with the command line, pyproject.toml and each other."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from common import __version__
from server.settings.table import DEFAULT_MAX_CLIENTS
from tests.harness.other_http_server import answering_always
from tests.harness.processes import ROOT, RUN_SERVER, environment
from tests.harness.waiting import TIMEOUT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOW_TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
WORKFLOW = yaml.safe_load(WORKFLOW_TEXT)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
DEMO = (ROOT / "scripts" / "demo.sh").read_text()


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, in order."""
    lines = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = lines.replace("\\\n", "").splitlines()
    return [(name, args.strip()) for name, _, args in (line.partition(" ") for line in joined if line)]


def arguments(instruction: str) -> list[str]:
    return [args for name, args in instructions() if name == instruction]


ENTRYPOINT = json.loads(arguments("ENTRYPOINT")[-1])
HEALTHCHECK = json.loads(arguments("HEALTHCHECK")[-1].partition(" CMD ")[2])


def option(name: str) -> str:
    """Return the value of an option in the entry point of the image."""
    return str(ENTRYPOINT[ENTRYPOINT.index(name) + 1])


@cache
def options_of_the_server() -> set[str]:
    completed = subprocess.run(
        [RUN_SERVER, "--help"], capture_output=True, text=True, env=environment(), timeout=TIMEOUT, check=True
    )
    return set(re.findall(r"--[a-z-]+", completed.stdout))


def command_lines() -> dict[str, list[str]]:
    services = {name: service.get("command", []) for name, service in COMPOSE["services"].items() if name != "redis"}
    return {"Dockerfile": ENTRYPOINT} | services


@pytest.mark.parametrize("args", command_lines().values(), ids=command_lines())
def test_containers_pass_only_options_that_the_server_has(args: list[str]) -> None:
    assert {arg for arg in args if arg.startswith("--")} <= options_of_the_server()


# ---------------------------------------------------------------- the package


def test_the_changelog_begins_with_the_version() -> None:
    (first, *_) = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__


def test_the_image_installs_extras_and_runs_a_program_that_the_project_has() -> None:
    (extras,) = re.findall(r"'\.\[(.+)\]'", " ".join(arguments("RUN")))
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    assert ENTRYPOINT[0] in PROJECT["project"]["scripts"]


def test_files_that_the_image_copies_exist_and_are_not_ignored() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = {arg for args in arguments("COPY") if not args.startswith("--from") for arg in args.split()[:-1]}
    assert {"client", "common", "server", "packaging", "setup.py", "pyproject.toml"} <= copied
    assert all((ROOT / path).exists() for path in copied)
    ignored = [path for path in copied for part in Path(path).parts for each in patterns if fnmatch(part, each)]
    assert ignored == []


def test_the_test_stage_is_no_part_of_the_image() -> None:
    stages = [args.partition(" AS ")[2] for args in arguments("FROM")]
    assert stages == ["test", "build", ""]
    assert {args.split()[0] for args in arguments("COPY") if args.startswith("--from")} == {"--from=build"}


def test_the_image_installs_only_packages_whose_hashes_are_locked() -> None:
    locked, project = (run for run in arguments("RUN") if "pip install" in run)
    assert "--require-hashes -r requirements-image.lock" in locked
    assert "--no-index --no-build-isolation" in project


# ---------------------------------------------------------------- the image


def test_the_image_exposes_the_ports_that_the_server_listens_on() -> None:
    assert arguments("EXPOSE") == [f"{option('--port')} {option('--http-port')}"]
    assert option("--host") == "0.0.0.0"


def test_the_image_and_compose_keep_the_data_on_a_volume_that_the_user_of_the_image_owns() -> None:
    (directory,) = arguments("VOLUME")
    (user,) = {each.split(":")[0] for each in arguments("USER")}
    assert any(f"install -d -o {user} " in args and args.endswith(f" {directory}") for args in arguments("RUN"))
    assert json.loads(arguments("CMD")[-1]) == ["--data", directory]
    service = COMPOSE["services"]["kvline"]
    assert service["command"] == ["--data", directory]
    (volume,) = service["volumes"]
    name, path = volume.split(":")
    assert (name in COMPOSE["volumes"], path) == (True, directory)


def test_the_image_does_not_run_as_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments("USER")[-1])


def test_the_image_has_the_malloc_arena_max_of_the_start_script() -> None:
    (of_the_script,) = re.findall(r"MALLOC_ARENA_MAX:-(\d+)", RUN_SERVER.read_text())
    assert f"MALLOC_ARENA_MAX={of_the_script}" in " ".join(arguments("ENV")).split()


def health(url: str) -> int:
    """Run the HEALTHCHECK of the image against another URL. Return its exit status."""
    of_the_image = f"http://127.0.0.1:{option('--http-port')}"
    assert of_the_image in HEALTHCHECK[-1]
    assert HEALTHCHECK[0] == "python"
    args = [sys.executable, *HEALTHCHECK[1:-1], HEALTHCHECK[-1].replace(of_the_image, url)]
    proxies = environment(http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
    return subprocess.run(args, capture_output=True, env=proxies, timeout=TIMEOUT, check=False).returncode


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (404, False), (503, False)])
def test_the_healthcheck_accepts_only_status_200(status: int, healthy: bool) -> None:
    with answering_always(status) as url:
        assert (health(url) == 0) == healthy


def test_the_healthcheck_fails_without_a_listener() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert health(f"http://127.0.0.1:{taken.getsockname()[1]}") != 0


# ---------------------------------------------------------------- compose


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])
def test_services_restart_and_have_no_capabilities_and_no_writable_root(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])
def test_services_have_limits_on_memory_and_processes(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0


@pytest.mark.parametrize("name", ["kvline", "proxy"])
def test_the_limit_on_processes_is_enough_for_the_threads_of_a_full_server(name: str) -> None:
    application = pytest.importorskip("server.http.application", reason="the extra http is not installed")
    assert COMPOSE["services"][name]["pids_limit"] > DEFAULT_MAX_CLIENTS + application.MAX_WORKERS


def published() -> dict[str, list[str]]:
    """Return the published ports of each service: first that of `--port`, then that of `--http-port`."""
    ports: dict[str, list[str]] = {}
    for name, service in COMPOSE["services"].items():
        if name == "tls":  # which demands certificates, and publishes its port to other machines
            continue
        for address, outside, inside in (port.split(":") for port in service.get("ports", [])):
            assert address == "127.0.0.1", f"{name} is open to other machines, and has no password"
            ports.setdefault(name, []).append(outside)
            assert inside in arguments("EXPOSE")[0].split()
    return ports


def test_ports_are_published_on_loopback_only_and_none_twice() -> None:
    ports = published()
    assert ports.keys() == {"kvline", "proxy"}
    assert len({port for each in ports.values() for port in each}) == 4


def test_the_service_with_tls_publishes_that_port_alone_and_demands_certificates() -> None:
    service = COMPOSE["services"]["tls"]
    options = dict(zip(service["command"][::2], service["command"][1::2], strict=True))
    assert options.keys() >= {"--tls-cert", "--tls-key", "--tls-ca"}
    assert service["ports"] == [f"{options['--tls-port']}:{options['--tls-port']}"]


# ---------------------------------------------------------------- the workflow and scripts/demo.sh


def test_the_default_url_of_the_demo_is_the_address_of_the_service() -> None:
    (default,) = re.findall(r"^url=\$\{1:-(.+)\}$", DEMO, re.MULTILINE)
    assert default == f"http://127.0.0.1:{option('--http-port')}"
    assert published()["kvline"] == [option("--port"), option("--http-port")]


def test_the_workflow_tests_the_oldest_python_that_is_supported_and_that_of_the_image() -> None:
    pythons = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert PROJECT["project"]["requires-python"] == f">={pythons[0]}"
    images = {image.split()[0].partition("@")[0] for image in arguments("FROM")}
    assert images <= {f"python:{python}-slim" for python in pythons}
    assert len(images) == 1


def test_the_workflow_runs_the_demo_on_every_server_of_compose() -> None:
    runs = " ".join(step.get("run", "") for step in STEPS)
    ports = re.findall(r"scripts/demo\.sh http://127\.0\.0\.1:(\d+)", runs)
    assert ports == [http for _, http in published().values()]


def test_the_workflow_runs_scripts_and_targets_that_exist() -> None:
    runs = " ".join(step.get("run", "") for step in STEPS)
    scripts = set(re.findall(r"[\w.]*(?:scripts|\.ci)/[\w.]+", runs))
    assert scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"lint", "test", "coverage"} <= set(re.findall(r"make ([\w-]+)", runs)) <= targets


def test_the_workflow_runs_the_smoke_test_on_windows_and_macos() -> None:
    job = WORKFLOW["jobs"]["platforms"]
    assert set(job["strategy"]["matrix"]["system"]) == {"windows-latest", "macos-latest"}
    assert "python -m scripts.smoke" in [step.get("run") for step in job["steps"]]


def test_ci_checks_that_the_core_tests_need_pytest_alone() -> None:
    assert ".ci/core tests" in [step.get("run") for step in WORKFLOW["jobs"]["core"]["steps"]]
    assert re.search(r"^\.ci/core$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_makefile_describes_every_target_and_declares_it_phony() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE) == targets
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == set(targets)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_read_permission_only_and_pins_its_actions_by_commit(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    actions = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in actions)
    versions = re.findall(r"uses: \S+( # v[0-9.]+)?$", text, re.MULTILINE)
    assert len(versions) == len(actions)
    assert all(versions), "each commit has its version beside it"
