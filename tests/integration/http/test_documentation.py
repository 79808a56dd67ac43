"""The OpenAPI document is complete, and the page that shows it loads nothing from other servers."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from server.http.routes import Route

METHODS = {"get", "head", "put", "post", "delete"}


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    from server.http.application import GROUPS

    return [route for group in GROUPS for route in group.routes]


@pytest.fixture
def document(http: httpx.Client) -> dict[str, Any]:
    got = http.get("/openapi.json")
    assert got.headers["content-type"] == "application/json"
    parsed: dict[str, Any] = got.json()
    return parsed


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def test_every_route_is_documented_with_its_parameters_and_responses(
    document: dict[str, Any], routes: list[Route]
) -> None:
    documented = operations(document)
    assert len(documented) == len(routes)
    for route in routes:
        operation = documented[route.method.lower(), route.path]
        assert operation["summary"].endswith(".")
        named = {each["name"] for each in operation.get("parameters", [])}
        assert {each.name for each in route.parameters} | set(route.headers) <= named
        assert set(re.findall(r"{(\w+)}", route.path)) <= named
        assert {str(status) for status in route.responses} <= set(operation["responses"])
        assert ("requestBody" in operation) == (route.body is not None)
        assert ("security" in operation) != route.public


def test_every_body_has_a_schema_and_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        bodies += operation["responses"].values()
        for body in bodies:
            for content in body.get("content", {}).values():
                assert "schema" in content, name
                assert "example" in content, name
        for status, response in operation["responses"].items():
            assert response["description"], name
            has_no_body = name[0] == "head" or int(status) in (204, 304)
            assert has_no_body or int(status) < 300 or "application/json" in response["content"], name


def test_a_head_documents_no_body(document: dict[str, Any]) -> None:
    responses = document["paths"]["/keys/{key}"]["head"]["responses"]
    assert {"200", "304", "400", "404", "412"} <= responses.keys()
    assert [status for status, response in responses.items() if "content" in response] == []


def test_every_parameter_of_a_path_or_query_has_an_example(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        for parameter in operation.get("parameters", []):
            assert parameter["description"]
            assert parameter["in"] == "header" or "example" in parameter


def test_operation_names_are_unique(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(names) == len(set(names))


def test_the_page_and_all_its_assets_come_from_this_server(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 3
    for path in loaded:
        assert path.startswith("/docs/assets/"), "nothing is fetched from another server"
        assert http.get(path).status_code == 200
    assert "/openapi.json" in page.text
    assert "https://" not in page.text


@pytest.mark.parametrize(
    "path",
    ["/docs/assets/none", "/docs/assets/../documentation.py", "/docs/assets/%2e%2e/%2e%2e/x", "/docs/assets/%00"],
)
def test_no_other_file_is_served(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code in (400, 404)
    assert list(answer.json()) == ["error"]
