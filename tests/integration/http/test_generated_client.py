"""A client that openapi-python-client generates from the OpenAPI document works for every operation."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.http_wire import fetch, start_with_http
from tests.harness.processes import StartServer
from tests.harness.waiting import TIMEOUT


class GeneratedClient:
    """The generated functions, by operation, with a client for them."""

    def __init__(self, folder: Path, url: str) -> None:
        self._functions = {each.stem: each for each in folder.glob("api/*/*.py") if each.stem != "__init__"}
        self._package = folder.name
        self._types = importlib.import_module(f"{folder.name}.types")
        self.used: set[str] = set()
        self._client = importlib.import_module(f"{folder.name}.client").Client(
            base_url=url, raise_on_unexpected_status=True
        )

    def close(self) -> None:
        self._client.get_httpx_client().close()

    @property
    def operations(self) -> set[str]:
        return set(self._functions)

    def call(self, operation: str, *args: Any, **keywords: Any) -> tuple[int, Any]:
        """Return the status of the response, and what the client has made of its body."""
        self.used.add(operation)
        tag = self._functions[operation].parent.name
        module = importlib.import_module(f"{self._package}.api.{tag}.{operation}")
        response = module.sync_detailed(*args, client=self._client, **keywords)
        return int(response.status_code), response.parsed

    def file(self, content: bytes) -> Any:
        return self._types.File(payload=io.BytesIO(content))


@pytest.fixture
def client(start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GeneratedClient]:
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")
    server = start_with_http(start_server)
    document = tmp_path / "openapi.json"
    document.write_bytes(fetch("GET", f"{server.http_url}/openapi.json").content)
    folder = tmp_path / "generated_kvline_client"
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", str(document), "--output-path", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "endpoint" not in ran.stdout, "an operation was left out"
    monkeypatch.syspath_prepend(str(tmp_path))
    client = GeneratedClient(folder, server.http_url)
    yield client
    client.close()
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_a_generated_client_works_for_every_operation(client: GeneratedClient) -> None:
    assert client.call("health") == (200, client.call("health")[1])
    assert client.call("put_value", "a/b", body=client.file(b"\x00value"), ex=60, nx=True)[0] == 201
    status, value = client.call("get_value", "a/b")
    assert (status, value.payload.read()) == (200, b"\x00value")
    assert client.call("put_value", "a/b", body=client.file(b"2"), nx=True)[0] == 412
    assert client.call("head_value", "a/b")[0] == 200
    assert client.call("head_value", "none")[0] == 404
    status, error = client.call("get_value", "none")
    assert (status, error.error) == (404, "no such key")
    assert client.call("increment", "n", by=5)[0] == 200
    status, listing = client.call("list_keys", match="*")
    assert (status, sorted(listing.keys)) == (200, ["a/b", "n"])
    assert client.call("compact")[0] == 200
    assert client.call("delete_key", "a/b")[0] == 204
    assert client.call("run_command", body=["SET", "k", "v"])[1].result == "OK"
    assert client.call("run_command", body=["FLY"])[0] == 400
    assert [each.result for each in client.call("run_pipeline", body=[["GET", "k"], ["INCR", "n"]])[1]] == ["v", 6]
    assert [each.result for each in client.call("run_transaction", body=[["INCR", "n"]])[1]] == [7]
    assert client.call("run_path", "get/k")[1].result == "v"
    assert client.call("run_path_with_body", "set/k", body=client.file(b"w"))[1].result == "OK"
    assert client.call("run_path", "get/k")[1].result == "w"
    assert client.call("metrics")[0] == 200
    assert client.call("delete_all")[0] == 204
    assert client.operations - client.used == {"subscribe"}, "its response does not end"
