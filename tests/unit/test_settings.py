"""The table of settings, and its readers: the command line and the environment."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.limits import GIB, MIB, Limits
from common.program import program_name
from server.settings import (
    PARAMETERS,
    SETTINGS,
    BackendSettings,
    Setting,
    Settings,
    SettingsError,
    SettingsReader,
    check,
)
from server.settings.kinds import MAX_SOCKET_PATH, Switch
from server.settings.output_limits import OutputLimit, OutputLimits
from server.settings.sources import new_parser

EXAMPLES: dict[str, tuple[str, object]] = {
    "config_file": ("/dev/null", "/dev/null"),
    "host": ("::1", "::1"),
    "ports": ("7000", (7000,)),
    "resp_port": ("7002", 7002),
    "unix_socket": ("/run/kvline.sock", "/run/kvline.sock"),
    "unix_socket_mode": ("770", 0o770),
    "tls_port": ("7003", 7003),
    "tls_cert": ("cert.pem", "cert.pem"),
    "tls_key": ("key.pem", "key.pem"),
    "tls_ca": ("ca.pem", "ca.pem"),
    "password_file": ("/run/secrets/kvline", "/run/secrets/kvline"),
    "auth_timeout": ("2.5", 2.5),
    "max_line": ("100", 100),
    "max_bulk": ("100", 100),
    "max_frame": ("100", 100),
    "max_clients": ("100", 100),
    "output_limits": (
        "pubsub 64mb 0 0 replica 1 2 3",
        OutputLimits(OutputLimit(0, 0, 0), OutputLimit(1, 2, 3), OutputLimit(64 * 2**20, 0, 0)),
    ),
    "notify_keyspace_events": ("KEA", "g$lshzxetdKE"),
    "tracking_table_max_keys": ("100", 100),
    "max_memory": ("64mb", 64 * MIB),
    "eviction": ("allkeys-lru", "allkeys-lru"),
    "databases": ("3", 3),
    "data": ("./data", "./data"),
    "fsync": ("always", "always"),
    "rewrite_min_size": ("100", 100),
    "repair": ("yes", True),
    "check": ("./data", "./data"),
    "idle_timeout": ("60", 60),
    "tcp_keepalive": ("60", 60),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "io_threads": ("2", 2),
    "all_cores": ("yes", True),
    "http_port": ("7001", 7001),
    "http_tls": ("yes", True),
    "http_token": ("t0ken", "t0ken"),
    "http_origins": ("https://Example.org/", ("https://example.org",)),
    "http_hosts": ("example.org", ("example.org",)),
    "http_max_body": ("100", 100),
    "http_max_json": ("100", 100),
    "http_max_clients": ("7", 7),
    "http_head_timeout": ("2.5", 2.5),
    "http_body_timeout": ("2.5", 2.5),
    "http_idle_timeout": ("2.5", 2.5),
    "backend": ("redis://localhost", "redis://localhost"),
    "backend_connections": ("7", 7),
    "backend_timeout": ("2.5", 2.5),
    "cache_keys": ("7", 7),
    "cache_ttl": ("2.5", 2.5),
    "cache_tracking": ("yes", True),
}
"""A text and its value, for each setting that has an option."""

WITH_OPTION = [entry for entry in SETTINGS if entry.option]

each_option = pytest.mark.parametrize("entry", WITH_OPTION, ids=lambda entry: entry.name)


def read(*arguments: str, **variables: str) -> Settings:
    return SettingsReader(variables).read(arguments)


TLS = {"KVLINE_TLS_PORT": "0", "KVLINE_TLS_CERT": "a", "KVLINE_TLS_KEY": "b", "KVLINE_HTTP_PORT": "0"}

REQUIREMENTS = {
    "": {},
    "backend": {"KVLINE_BACKEND": "redis://localhost"},
    "data": {"KVLINE_DATA": "data"},
    "tls_cert": TLS,
    "tls_key": TLS,
    "unix_socket": {"KVLINE_UNIX_SOCKET": "kvline.sock"},
}


def requirement_of(entry: Setting) -> dict[str, str]:
    """Return variables with which the setting is valid, and perhaps another value of it."""
    return REQUIREMENTS[entry.requires]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, **variables: str) -> str:
    """Read settings that are refused; return the sentence."""
    with pytest.raises(SystemExit) as ended:
        read(*arguments, **variables)
    assert ended.value.code == 2
    name = program_name("server")
    printed = capsys.readouterr().err
    assert printed.startswith(f"{name}: error: "), "no usage precedes the sentence"
    assert printed.count("\n") == 1
    return printed.removeprefix(f"{name}: error: ").removesuffix("\n")


# ---------------------------------------------------------------- the table


def test_every_option_has_an_example_here() -> None:
    assert [entry.name for entry in WITH_OPTION] == list(EXAMPLES)


@each_option
def test_every_option_has_a_variable_and_a_help_text_in_plain_words(entry: Setting) -> None:
    assert entry.option
    assert entry.variable == "KVLINE_" + entry.option[2:].upper().replace("-", "_")
    assert re.fullmatch(r"[a-z].*[^.]", entry.help)


def test_no_option_variable_or_parameter_is_used_twice() -> None:
    for names in ([e.option for e in WITH_OPTION], [e.variable for e in WITH_OPTION], [e.config for e in SETTINGS]):
        given = [name for name in names if name]
        assert len(given) == len(set(given))


def test_what_can_change_at_run_time_has_a_name_in_config() -> None:
    assert all(entry.config for entry in SETTINGS if entry.mutable)
    assert list(PARAMETERS) == sorted(PARAMETERS)


def test_without_options_and_variables_there_are_the_defaults() -> None:
    assert read() == Settings()
    check(Settings())


@pytest.mark.parametrize("entry", SETTINGS, ids=lambda entry: entry.name)
def test_a_default_is_a_value_of_its_kind(entry: Setting) -> None:
    values = entry.default if entry.repeatable else (entry.default,)
    for value in values:
        assert value is None or entry.kind.parse(entry.kind.format(value)) == value


SET_PARAMETERS = [entry for entry in PARAMETERS.values() if entry.mutable or entry.text(Settings())]


@pytest.mark.parametrize("entry", SET_PARAMETERS, ids=lambda entry: entry.config)
def test_every_parameter_of_config_reads_back_as_the_text_that_it_was_set_to(entry: Setting) -> None:
    text = entry.text(Settings())
    assert entry.kind.format(entry.kind.parse_config(text)) == text


def test_settings_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().host = "::1"  # type: ignore[misc]


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(http_token="hush", backend="redis://:hush@localhost"))
    assert "hush" not in shown
    assert "hush" not in repr(Settings(backend="redis://:hush@localhost").backend_settings())


@pytest.mark.parametrize(
    ("settings", "many"),
    [
        (Settings(), False),
        (Settings(io_threads=1), False),
        (Settings(io_threads=2), True),
        (Settings(io_threads=0), True),
        (Settings(http_port=0), True),
        (Settings(backend="redis://localhost"), True),
    ],
)
def test_one_busy_thread_needs_no_core_of_its_own(settings: Settings, many: bool) -> None:
    assert settings.uses_many_threads() == many


# ---------------------------------------------------------------- command line and environment


@each_option
def test_an_option_sets_its_field_alone(entry: Setting) -> None:
    text, value = EXAMPLES[entry.name]
    given = [entry.option or ""] if isinstance(entry.kind, Switch) else [entry.option or "", text]
    before = read(**requirement_of(entry))
    assert read(*given, **requirement_of(entry)) == dataclasses.replace(before, **{entry.name: value})


@each_option
def test_a_variable_sets_its_field_alone(entry: Setting) -> None:
    text, value = EXAMPLES[entry.name]
    before = read(**requirement_of(entry))
    variables = requirement_of(entry) | {entry.variable or "": text}
    assert read(**variables) == dataclasses.replace(before, **{entry.name: value})


@pytest.mark.parametrize(
    ("arguments", "variables", "values"),
    [
        (["--port", "1"], {"KVLINE_PORT": "2,3"}, {"ports": (1,)}),
        (["--port", "1", "--port", "2"], {}, {"ports": (1, 2)}),
        ([], {"KVLINE_PORT": "2, 3 4"}, {"ports": (2, 3, 4)}),
        (["--host", "::1"], {"KVLINE_HOST": "0.0.0.0"}, {"host": "::1"}),
        (["--no-all-cores"], {"KVLINE_ALL_CORES": "yes"}, {"all_cores": False}),
        ([], {"KVLINE_ALL_CORES": "off"}, {"all_cores": False}),
        ([], {"KVLINE_HTTP_CORS": "https://a.org https://b.org"}, {"http_origins": ("https://a.org", "https://b.org")}),
        (["--http-token", "good"], {"KVLINE_HTTP_TOKEN": "not good"}, {"http_token": "good"}),
    ],
)
def test_the_command_line_wins_over_the_environment(
    arguments: list[str], variables: dict[str, str], values: dict[str, Any]
) -> None:
    settings = read(*arguments, **variables)
    assert settings == dataclasses.replace(Settings(), **values)


def test_an_empty_variable_is_no_variable() -> None:
    assert read(KVLINE_PORT="", KVLINE_HTTP_TOKEN="") == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("KVLINE_PORT", "1,x", "KVLINE_PORT: a port is a number from 0 to 65535, not 'x'"),
        ("KVLINE_PORT", "9" * 5000, f"KVLINE_PORT: a port is a number from 0 to 65535, not '{'9' * 5000}'"),
        ("KVLINE_MAX_FRAME", "16777216", "KVLINE_MAX_FRAME: a frame has at most 16777215 bytes, not 16777216"),
        ("KVLINE_ALL_CORES", "maybe", "KVLINE_ALL_CORES: must be yes or no, not 'maybe'"),
        (
            "KVLINE_LOG_LEVEL",
            "loud",
            "KVLINE_LOG_LEVEL: invalid choice: 'loud' (choose from 'debug', 'info', 'warning', 'error')",
        ),
        (
            "KVLINE_HTTP_TOKEN",
            "two words",
            "KVLINE_HTTP_TOKEN: a token must be printable ASCII without blanks, and not empty",
        ),
        ("KVLINE_CACHE_KEYS", "5", "KVLINE_CACHE_KEYS needs --backend"),
        ("KVLINE_CACHE_TRACKING", "yes", "KVLINE_CACHE_TRACKING needs --backend"),
    ],
)
def test_a_bad_variable_is_one_sentence_that_names_it(
    capsys: pytest.CaptureFixture[str], variable: str, text: str, sentence: str
) -> None:
    assert refused(capsys, **{variable: text}) == sentence


def test_an_error_that_the_server_finds_later_names_the_source_too(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, variables, name in (
        (["--backend", "x"], {}, "--backend"),
        ([], {"KVLINE_BACKEND": "x"}, "KVLINE_BACKEND"),
    ):
        reader = SettingsReader(variables)
        reader.read(arguments)
        with pytest.raises(SystemExit):
            reader.fail(SettingsError("backend", "is no URL"))
        assert capsys.readouterr().err.endswith(f"error: {name} is no URL\n")


def test_help_has_every_option_with_its_default_by_section() -> None:
    text = new_parser().format_help()
    assert [entry.option for entry in WITH_OPTION if f"{entry.option}" not in text] == []
    words = " ".join(text.split())
    for default in (
        "127.0.0.1",
        "9736",
        "65536",
        "536870912",
        "16777215",
        "10000",
        "info",
        "16777216",
        "50",
        "5",
        "30",
    ):
        assert f"(default: {default})" in words
    assert "(default: None)" not in words
    sections = ["options:", "addresses:", "limits:", "log:", "process:", "HTTP:", "backing Redis:", "cache in front of"]
    places = [text.index(f"\n{section}") for section in sections]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("begin", "end", "option"),
    [("\ncache in front of", "Every option", "--cache-ttl"), ("\nTLS:", "\naccess:", "--tls-port")],
)
def test_help_shows_no_default_for_what_is_off_by_default(begin: str, end: str, option: str) -> None:
    section = new_parser().format_help().partition(begin)[2].partition(end)[0]
    assert option in section
    assert "default" not in section


def test_help_has_examples_that_are_valid_and_exit_statuses() -> None:
    text = new_parser().format_help()
    name = re.escape(program_name("server"))
    examples = re.findall(rf"^  {name}(.*)$", text.partition("\nexamples:\n")[2], re.MULTILINE)
    assert len(examples) >= 4
    for example in examples:
        read(*example.replace("/etc/kvline.toml", "/dev/null").split())
    assert re.findall(r"^  (\d)  \S", text.partition("\nexit statuses:\n")[2], re.MULTILINE) == ["0", "1", "2"]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("7b", 7),
        ("3k", 3000),
        ("3kb", 3 * 1024),
        ("2M", 2_000_000),
        ("64MB", 64 * MIB),
        ("1g", 10**9),
        ("1Gb", GIB),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_a_memory_size_has_the_units_of_redis(text: str, size: int) -> None:
    assert read("--max-memory", text).max_memory == size


@pytest.mark.parametrize(
    "text", ["", "mb", "-1", "1.5gb", "1 gb", "10zb", "1tb", "9999999999gb", "0x10", "\u0663", "1gbb"]
)
def test_a_bad_memory_size_is_refused(capsys: pytest.CaptureFixture[str], text: str) -> None:
    expected = f"argument --max-memory: must be a number of bytes, such as 67108864 or 64mb, not {text!r}"
    assert refused(capsys, f"--max-memory={text}") == expected


@pytest.mark.parametrize("option", ["--max-memory=1gb", "--eviction=allkeys-lru", "--data=data"])
def test_a_setting_of_the_embedded_keyspace_excludes_a_backing_redis(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    expected = f"{option.partition('=')[0]} can't be combined with --backend, because the backing Redis stores the data"
    assert refused(capsys, option, "--backend", "redis://localhost") == expected


def test_the_value_of_a_misspelt_option_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--bakend", "redis://:s3cret@host") == "unknown option: --bakend"
    assert refused(capsys, "--bakend=redis://:s3cret@host") == "unknown option: --bakend"
    assert refused(capsys, "s3cret") == "unexpected argument"


# ---------------------------------------------------------------- the config file


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a config file, and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "kvline.toml"
        path.write_text(text)
        return str(path)

    return write


WriteConfig = Callable[[str], str]


@pytest.mark.parametrize(
    "entry", [each for each in WITH_OPTION if each.name != "config_file"], ids=lambda entry: entry.name
)
def test_the_config_file_sets_a_field_by_the_name_of_its_option(entry: Setting, config_file: WriteConfig) -> None:
    text, value = EXAMPLES[entry.name]
    path = config_file(f'{(entry.option or "")[2:]} = "{text}"\n')
    others = {name: other for name, other in requirement_of(entry).items() if name != entry.variable}
    before = read("--config", path, **others)
    assert getattr(before, entry.name) == value


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("port = 7000", {"ports": (7000,)}),
        ("port = [7000, 7001]", {"ports": (7000, 7001)}),
        ('http-cors = ["https://a.org", "https://b.org"]', {"http_origins": ("https://a.org", "https://b.org")}),
        ("all-cores = true\nmax-line = 1_000", {"all_cores": True, "max_line": 1000}),
        ("all-cores = false", {"all_cores": False}),
        ("http-idle-timeout = 2.5 # seconds", {"http_idle_timeout": 2.5}),
        ("http-idle-timeout = 2", {"http_idle_timeout": 2.0}),
    ],
)
def test_the_config_file_has_the_types_of_toml(config_file: WriteConfig, text: str, values: dict[str, Any]) -> None:
    path = config_file(text)
    assert read("--config", path) == Settings(config_file=path, **values)


def test_the_command_line_precedes_the_environment_which_precedes_the_file(config_file: WriteConfig) -> None:
    path = config_file("max-line = 1\nmax-frame = 1\nmax-clients = 1\nport = [1, 2]\n")
    settings = read("--max-line", "3", KVLINE_MAX_LINE="2", KVLINE_MAX_FRAME="2", KVLINE_CONFIG=path)
    assert (settings.max_line, settings.max_frame, settings.max_clients) == (3, 2, 1)
    assert settings.ports == (1, 2)
    assert read("--config", "/dev/null", KVLINE_CONFIG=path).ports == Settings().ports


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("max-clients = 0", "max-clients: a number of clients is from 1 to 4294967295, not '0'"),
        ("max-clients = true", "max-clients: a number of clients is from 1 to 4294967295, not 'true'"),
        ("max-clients = [1]", "max-clients: must be a single value"),
        ("[max-clients]\na = 1", "max-clients: must be a single value"),
        ("port = [[1]]", "port: must be a single value"),
        ("all-cores = 7", "all-cores: must be yes or no, not '7'"),
        ("max_clients = 1", "'max_clients' is not a setting; --help lists them"),
        ('config = "other.toml"', "'config' is not a setting; --help lists them"),
        ("port = 1979-05-27", "port: a port is a number from 0 to 65535, not '1979-05-27'"),
        ("port = ", "not valid TOML: Invalid value (at end of document)"),
        ("cache-keys = 5", "cache-keys needs --backend"),
    ],
)
def test_a_bad_config_file_is_one_sentence_that_names_the_file_and_the_setting(
    capsys: pytest.CaptureFixture[str], config_file: WriteConfig, text: str, sentence: str
) -> None:
    path = config_file(text)
    assert refused(capsys, "--config", path) == f"{path}: {sentence}"


def test_a_config_file_that_cannot_be_read_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.toml", tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert refused(capsys, "--config", str(missing)) == f"{missing}: No such file or directory"
    assert refused(capsys, "--config", str(tmp_path)) == f"{tmp_path}: Is a directory"
    assert refused(capsys, KVLINE_CONFIG=str(binary)).startswith(f"{binary}: not valid TOML: ")


# ---------------------------------------------------------------- the settings in the log


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, ""),
        ({"ports": (1, 2), "host": "::1"}, "--host ::1 --port 1 --port 2"),
        ({"all_cores": True}, "--all-cores"),
        ({"slowlog_max_len": 5}, ""),
        ({"config_file": "/a b"}, "--config '/a b'"),
        ({"backend": "redis://:hush@localhost", "cache_ttl": 5.0}, "--backend (redacted) --cache-ttl 5"),
        ({"http_token": "hush"}, "--http-token (redacted)"),
        ({"backend": "redis://localhost", "cache_tracking": False}, "--backend (redacted) --no-cache-tracking"),
    ],
)
def test_changed_settings_are_shown_as_options_without_secrets(values: dict[str, Any], shown: str) -> None:
    assert Settings(**values).changed() == shown


# ---------------------------------------------------------------- several settings together


def too_long_path(size: int) -> str:
    return f"the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes, and this one has {size}"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cache_keys": 5}, "--cache-keys needs --backend"),
        ({"cache_tracking": True}, "--cache-tracking needs --backend"),
        ({"fsync": "always"}, "--fsync needs --data"),
        ({"repair": True}, "--repair needs --data"),
        ({"data": ""}, "--data is not valid: must be the path of a directory"),
        (
            {"data": "data", "backend": "redis://localhost"},
            "--data can't be combined with --backend, because the backing Redis stores the data",
        ),
        (
            {"unix_socket": "/" + "x" * MAX_SOCKET_PATH},
            f"--unix-socket is not valid: {too_long_path(MAX_SOCKET_PATH + 1)}",
        ),
        ({"unix_socket": ""}, "--unix-socket is not valid: must be a path of printable characters"),
        ({"unix_socket": "a\nb"}, "--unix-socket is not valid: must be a path of printable characters"),
        ({"unix_socket_mode": 0o770}, "--unix-socket-mode needs --unix-socket"),
        ({"ports": (0, 70000)}, "--port is not valid: a port is a number from 0 to 65535, not '70000'"),
        ({"max_clients": 0}, "--max-clients is not valid: a number of clients is from 1 to 4294967295, not '0'"),
        ({"slowlog_max_len": -1}, "slowlog_max_len is not valid: must be a number of at least 0, not '-1'"),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        check(Settings(**values))


@pytest.mark.parametrize("mode", ["888", "1770", "-1", "rwx", ""])
def test_permissions_that_are_not_octal_are_refused(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    printed = refused(capsys, "--unix-socket", "s", f"--unix-socket-mode={mode}")
    assert printed == f"argument --unix-socket-mode: permissions are octal digits from 0 to 777, not {mode!r}"


def test_a_unix_socket_is_refused_on_windows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    printed = refused(capsys, "--unix-socket", "s")
    assert printed == "argument --unix-socket: Python has no Unix sockets on Windows"


@pytest.mark.parametrize(
    ("values", "cache"),
    [
        ({}, {}),
        ({"cache_tracking": False}, {}),
        ({"cache_keys": 5}, {"has_cache": True, "cache_keys": 5}),
        ({"cache_ttl": 5.0}, {"has_cache": True, "cache_ttl": 5.0}),
        ({"cache_tracking": True}, {"has_cache": True, "cache_tracking": True}),
    ],
)
def test_any_option_of_the_cache_turns_it_on(values: dict[str, Any], cache: dict[str, Any]) -> None:
    url = "redis://localhost"
    assert Settings(backend=url, **values).backend_settings() == BackendSettings(
        url, connections=50, timeout=5.0, **cache
    )
    assert Settings().backend_settings() is None


@pytest.mark.parametrize(
    ("values", "places"),
    [({}, 5000), ({"max_clients": 1}, 1), ({"max_clients": 7}, 3), ({"http_max_clients": 9, "max_clients": 7}, 9)],
)
def test_http_has_half_of_the_places_unless_its_number_is_given(values: dict[str, Any], places: int) -> None:
    assert Settings(**values).http_places() == places


def test_a_request_may_always_be_as_large_as_an_argument_of_it() -> None:
    assert Settings().input_limits() == Limits()
    assert Settings(max_bulk=4 * GIB).input_limits() == Limits(max_bulk=4 * GIB, max_request=4 * GIB)
    assert Settings(max_bulk=MIB, max_line=7, max_frame=8).input_limits() == Limits(7, MIB, 8)


# ---------------------------------------------------------------- CONFIG's texts


@pytest.mark.parametrize(
    ("parameter", "text", "sentence"),
    [
        ("notify-keyspace-events", "KQ", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("client-output-buffer-limit", "x 1 2 3", "Invalid client class specified in buffer limit configuration."),
        ("client-output-buffer-limit", "pubsub 1", "Wrong number of arguments in buffer limit configuration."),
        (
            "client-output-buffer-limit",
            "pubsub 1 1 -1",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        ("maxclients", "x", "argument couldn't be parsed into an integer"),
        ("maxclients", "+1", "argument couldn't be parsed into an integer"),
        ("maxclients", "01", "argument couldn't be parsed into an integer"),
        ("maxclients", "9" * 19, "argument couldn't be parsed into an integer"),
        ("maxclients", "0", "argument must be between 1 and 4294967295 inclusive"),
        ("slowlog-log-slower-than", "-2", f"argument must be between -1 and {2**63 - 1} inclusive"),
        ("loglevel", "loud", "argument(s) must be one of the following: debug, info, warning, error"),
    ],
)
def test_config_uses_the_texts_of_redis(parameter: str, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        PARAMETERS[parameter].kind.parse_config(text)


def test_config_takes_names_in_any_case_where_redis_does() -> None:
    assert PARAMETERS["loglevel"].kind.parse_config("DEBUG") == "debug"


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("NO", False), ("1", None)])
def test_a_switch_in_config_is_yes_or_no(text: str, value: bool | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match="argument must be 'yes' or 'no'"):
            Switch().parse_config(text)
    else:
        assert Switch().parse_config(text) is value


@pytest.mark.parametrize(
    ("values", "demands"),
    [
        ({}, True),
        ({"tls_ca": None}, False),
        ({"ports": (9736,)}, False),
        ({"resp_port": 6379}, False),
        ({"http_port": 9780}, False),
        ({"http_port": 9780, "http_tls": True}, True),
    ],
)
def test_certificates_are_demanded_on_every_port_or_not(values: dict[str, object], demands: bool) -> None:
    files = {"tls_port": 0, "tls_cert": "a", "tls_key": "b", "tls_ca": "c"}
    assert Settings(**(files | values)).demands_certificates() == demands  # type: ignore[arg-type]
