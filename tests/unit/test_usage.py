"""Usage lines as trees of arguments."""

from __future__ import annotations

import pytest

from server.registry.usage import Argument, parse_usage

KEY = Argument("key", "key", key_spec_index=0)
VALUE = Argument("value", "string")
COUNT = Argument("count", "integer", "COUNT")


def token(name: str, *, optional: bool = False) -> Argument:
    return Argument(name.lower(), "pure-token", name, optional=optional)


@pytest.mark.parametrize(
    ("usage", "arguments"),
    [
        ("", ()),
        ("key value", (KEY, VALUE)),
        ("key [key ...]", (Argument("key", "key", key_spec_index=0, multiple=True),)),
        (
            "key value [key value ...]",
            (Argument("key_value", "block", multiple=True, arguments=(KEY, VALUE)),),
        ),
        ("[section ...]", (Argument("section", "string", optional=True, multiple=True),)),
        ("[GET]", (token("GET", optional=True),)),
        ("[COUNT count]", (Argument("count", "integer", "COUNT", optional=True),)),
        (
            "[NX | COUNT count]",
            (Argument("nx_count", "oneof", optional=True, arguments=(token("NX"), COUNT)),),
        ),
        ("<ON | OFF>", (Argument("on_off", "oneof", arguments=(token("ON"), token("OFF"))),)),
        (
            "[BY <ON | COUNT count>]",
            (Argument("on_count", "oneof", "BY", optional=True, arguments=(token("ON"), COUNT)),),
        ),
        (
            "[AUTH username password]",
            (
                Argument(
                    "username_password",
                    "block",
                    "AUTH",
                    optional=True,
                    arguments=(Argument("username", "string"), Argument("password", "string")),
                ),
            ),
        ),
        ("ID id [id ...]", (Argument("id", "integer", "ID", multiple=True),)),
        ("key newkey", (KEY, Argument("newkey", "key", key_spec_index=1))),
        ("ip:port yes/no", (Argument("ip:port", "string"), Argument("yes/no", "string"))),
        (
            "<key | [NX] [XX]>",
            (
                Argument(
                    "key_nx_xx",
                    "oneof",
                    arguments=(
                        KEY,
                        Argument("nx_xx", "block", arguments=(token("NX", optional=True), token("XX", optional=True))),
                    ),
                ),
            ),
        ),
    ],
)
def test_a_usage_line_is_parsed_into_a_tree(usage: str, arguments: tuple[Argument, ...]) -> None:
    assert parse_usage(usage, 2, {}) == arguments


def test_the_type_of_a_value_can_be_given() -> None:
    assert parse_usage("increment", 1, {"increment": "double"}) == (Argument("increment", "double"),)


def test_a_command_without_keys_has_no_argument_of_the_type_key() -> None:
    assert parse_usage("key", 0, {}) == (Argument("key", "string"),)


def test_one_key_specification_finds_all_keys() -> None:
    assert [each.key_spec_index for each in parse_usage("key1 key2", 1, {})] == [0, 0]


@pytest.mark.parametrize("usage", ["[key", "key]", "<key]", "key ...", "[]", "key | value", "[key <a | b]>"])
def test_a_usage_line_that_cannot_be_parsed_is_an_error(usage: str) -> None:
    with pytest.raises(ValueError, match="usage line"):
        parse_usage(usage, 1, {})
