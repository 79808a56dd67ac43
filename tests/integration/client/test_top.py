"""The full-screen view (``--top``): against kvline and a real Redis, a server that restarts, hangs or is hostile."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot

from client.connection import SocketConnection
from client.conversation import Conversation
from client.protocol import Login
from client.settings import parse_url
from client.tools.top.app import Sampled, Top
from client.tools.top.start import show_top
from common.extras import MissingExtra
from server.app import Server
from server.settings import Settings
from tests.harness.any_server import AnyServer, ask
from tests.harness.certificates import TLSFiles, certificates
from tests.harness.fake_redis import CLOSE, SILENT, FakeRedis, Script, Step, array, bulk
from tests.harness.local_client import local_conversation
from tests.harness.processes import Peer, run_client
from tests.harness.terminal import ClientTerminal
from tests.harness.waiting import TIMEOUT

__all__ = ["certificates"]

INTERVAL = 0.3
"""Seconds between two snapshots. To draw one takes more than 0.05 s of CPU time."""

SIZE = (110, 30)


def converse(url: str) -> Conversation:
    settings = parse_url(url)
    login = Login(settings.user, settings.password)
    return Conversation(lambda: SocketConnection(settings), login, settings.name, TIMEOUT)


class View:
    """A view that a test looks at and presses keys of."""

    def __init__(self, pilot: Pilot[int | None]) -> None:
        self.pilot = pilot

    def screen(self) -> str:
        """Return the characters on the screen."""
        # `App.export_screenshot` is public, and takes 0.2 s.
        strips = self.pilot.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true."""
        deadline = asyncio.get_running_loop().time() + TIMEOUT
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, self.screen()
            await self.pilot.pause(0.05)

    async def expect(self, pattern: str) -> None:
        """Wait until the screen shows this."""
        await self.until(lambda: re.search(pattern, self.screen()) is not None)


@asynccontextmanager
async def view_of(url: str, size: tuple[int, int] = SIZE) -> AsyncIterator[View]:
    app = Top(converse(url), INTERVAL)
    async with app.run_test(size=size) as pilot:
        yield View(pilot)
    assert app.return_value is None


def look_at(server: AnyServer | FakeRedis, look: Callable[[View], Awaitable[None]], *, login: str = "") -> None:
    """Show a server, and run ``look``."""

    async def run() -> None:
        async with view_of(f"redis://{login}127.0.0.1:{server.port}") as view:
            await look(view)

    asyncio.run(run())


# ---------------------------------------------------------------- what is shown


def test_the_figures_the_plots_the_clients_and_the_slow_log_are_shown(target: AnyServer) -> None:
    ask(target, b"CONFIG", b"SET", b"slowlog-log-slower-than", b"0")
    ask(target, b"SET", b"key", b"[red]value[/red]")
    ask(target, b"CONFIG", b"SET", b"slowlog-log-slower-than", b"10000")
    named = Peer(target.port)
    named.ask(b"CLIENT SETNAME worker")

    async def look(view: View) -> None:
        name = {"kvline": "kvline", "redis": "Redis"}[target.kind]
        await view.expect(rf"127\.0\.0\.1:{target.port}  {name} \d+\.\d+\.\d+, master, up 0 d 0 h \d+ min")
        await view.expect(r"[1-9][\d,]* requests/s  latency \d+\.\d\d ms  hit rate -  memory [\d.]+ MiB")
        await view.expect("1 keys  2 clients  0 blocked")
        await view.expect(r"throughput: [\d,.]+ requests/s .* latency: \d+\.\d\d ms")
        await view.expect(r"hit rate .* memory: [\d,.]+ MiB")
        await view.expect(r"127\.0\.0\.1:\d+ +worker +\d+ s +\d+ s ")
        await view.expect(r"SET key \[red\]value\[/red\]")
        ask(target, b"GET", b"key")
        await view.expect(r"hit rate: 100\.00 %")

    look_at(target, look)
    named.close()


def test_the_clients_are_sorted_by_the_column_that_s_selects() -> None:
    clients = bulk(b"id=1 name=zoe age=9 idle=1 tot-mem=7\nid=2 name=ada age=7 idle=2 tot-mem=9\n")
    with closing(FakeRedis({b"CLIENT": clients})) as fake:

        async def look(view: View) -> None:
            for column, first, second in (
                ("idle", "zoe", "ada"),
                ("age", "zoe", "ada"),
                ("memory", "ada", "zoe"),
                ("name", "ada", "zoe"),
            ):
                await view.expect(f"(?s)clients by {column} .* {first} .* {second} ")
                await view.pilot.press("s")
            await view.expect("clients by idle ")

        look_at(fake, look)


def test_a_snapshot_replaces_one_that_still_waits_to_be_drawn() -> None:
    assert Sampled("later").can_replace(Sampled("earlier"))


def test_nothing_is_sent_while_the_view_is_paused() -> None:
    with closing(FakeRedis({b"INFO": bulk(b"redis_version:7\r\n")})) as fake:

        async def look(view: View) -> None:
            await view.expect("throughput")
            await view.pilot.press("p")
            await view.expect("paused")
            before = fake.count(b"INFO")
            for _ in range(3):
                await view.pilot.pause(INTERVAL)
            assert fake.count(b"INFO") <= before + 1, "the snapshot that was being taken"
            await view.pilot.press("p")
            await view.until(lambda: fake.count(b"INFO") > before + 2)
            assert "paused" not in view.screen()

        look_at(fake, look)


def test_a_screen_of_any_size_is_drawn() -> None:
    async def run(fake: FakeRedis) -> None:
        async with view_of(f"redis://127.0.0.1:{fake.port}", (80, 24)) as view:
            await view.expect("throughput: ")
            for width, height in ((40, 12), (10, 3), (1, 1), (200, 24)):
                await view.pilot.resize_terminal(width, height)
                await view.pilot.pause(0.01)
            await view.expect("throughput: ")

    with closing(FakeRedis({b"INFO": bulk(b"redis_version:7\r\n")})) as fake:
        asyncio.run(run(fake))


def test_requests_that_the_user_may_not_send_are_shown_as_unavailable(target: AnyServer) -> None:
    if target.kind != "redis":
        pytest.skip("kvline has one user, who may send everything")
    ask(target, b"ACL", b"SETUSER", b"guest", b"on", b">secret", b"+ping", b"+info", b"+hello")

    async def look(view: View) -> None:
        await view.expect(r"\d requests/s  latency \d+\.\d\d ms")
        await view.expect("unavailable: CLIENT LIST failed: NOPERM")
        await view.expect("unavailable: SLOWLOG GET failed: NOPERM")

    look_at(target, look, login="guest:secret@")


def test_without_info_and_ping_the_rest_is_shown() -> None:
    refusal = b"-NOPERM this user may not\r\n"
    clients = bulk(b"id=1 addr=a:1 name=worker age=2 idle=3\n")
    with closing(FakeRedis({b"INFO": refusal, b"PING": refusal, b"CLIENT": clients})) as fake:

        async def look(view: View) -> None:
            await view.expect("INFO unavailable: INFO failed: NOPERM this user may not")
            await view.expect("PING unavailable: PING failed: NOPERM this user may not")
            await view.expect(r"a:1 +worker +2 s +3 s ")

        look_at(fake, look)


# ---------------------------------------------------------------- a server that restarts, hangs or is hostile


def test_it_connects_again_after_a_restart_of_the_server(mortal_target: AnyServer) -> None:
    async def look(view: View) -> None:
        await view.expect("throughput: ")
        mortal_target.kill()
        await view.expect("not connected: .*(closed the connection|Connection refused|reset)")
        mortal_target.start_again()
        await view.expect("master, up 0 d 0 h 0 min")
        await view.expect(r"[1-9]\d* requests/s")

    look_at(mortal_target, look)


@pytest.mark.parametrize("command", [b"PING", b"INFO", b"CLIENT", b"SLOWLOG"])
def test_keys_work_while_the_server_hangs(command: bytes) -> None:
    with closing(FakeRedis({command: SILENT})) as fake:

        async def look(view: View) -> None:
            await view.until(lambda: fake.count(command) > 0)
            await view.pilot.press("s")
            await view.expect("clients by age")
            await view.pilot.press("q")

        look_at(fake, look)


TEXT = b"[/]\x1b[2J\x07\x9b1m\xe2\x80\xae[red]"
NINES = b"9" * 5000

HOSTILE: dict[str, Script] = {
    "escapes": {
        b"INFO": bulk(b"redis_version:%b\r\nrole:%b\r\nuptime_in_seconds:9\r\n" % (TEXT, TEXT)),
        b"CLIENT": bulk(b"id=1 addr=%b name=%b cmd=%b idle=%b\n" % (TEXT, TEXT, TEXT, TEXT)),
        b"SLOWLOG": array(array(b":1\r\n", b":1\r\n", b":1\r\n", array(bulk(TEXT), bulk(b"\r\0")), bulk(TEXT))),
    },
    "errors": dict.fromkeys((b"CLIENT", b"INFO", b"PING", b"SLOWLOG"), b"-ERR %b\r\n" % TEXT),
    "numbers": {
        b"INFO": bulk(
            b"used_memory:%b\r\nuptime_in_seconds:%b\r\ntotal_commands_processed:%b\r\ndb0:keys=%b" % ((NINES,) * 4)
        ),
        b"CLIENT": bulk(b"id=%b age=-1 idle=x tot-mem=%b\n" % (NINES, NINES)),
        b"SLOWLOG": array(array(b":1\r\n", b":%d\r\n" % (2**63 - 1), b":%d\r\n" % (2**63 - 1), b"*0\r\n")),
    },
    "types": {b"INFO": b"*1\r\n:1\r\n", b"PING": b"*1\r\n:2\r\n", b"SLOWLOG": b"*3\r\n:1\r\n*0\r\n*1\r\n*0\r\n"},
    "lines": {b"CLIENT": bulk(b"\n" * 100_000 + b"=\n = \n" * 1000), b"SLOWLOG": b"$-1\r\n", b"INFO": b"$0\r\n\r\n"},
    "surplus": {b"INFO": b"+\r\n:1\r\n+x\r\n"},
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_a_server_sends_steers_the_terminal_or_is_markup(script: Script) -> None:
    with closing(FakeRedis({b"SLOWLOG": b"*0\r\n", **script})) as fake:

        async def look(view: View) -> None:
            await view.until(lambda: fake.count(b"SLOWLOG") > 1)
            await view.expect("throughput")
            shown = view.screen()
            assert all(character.isprintable() or character == "\n" for character in shown), shown
            assert "not connected" not in shown
            assert ("[/]" in shown) == (script in (HOSTILE["escapes"], HOSTILE["errors"]))

        look_at(fake, look)


@pytest.mark.parametrize("reply", [b"*1\r\n" * 1000, b"$9999999999999\r\n", b"HTTP/1.1 400\r\n", CLOSE])
def test_a_reply_that_is_none_is_shown_as_a_lost_connection_and_the_next_one_is_opened(reply: Step) -> None:
    with closing(FakeRedis({b"INFO": reply})) as fake:

        async def look(view: View) -> None:
            await view.expect("not connected: ")
            await view.until(lambda: fake.connections > 3)

        look_at(fake, look)


# ---------------------------------------------------------------- the start and the end


@pytest.mark.parametrize(("key", "status"), [("q", 0), ("\x03", 0), ("", 128 + signal.SIGTERM)])
def test_it_ends_by_q_ctrl_c_and_sigterm_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, key: str, status: int
) -> None:
    with Server(Settings(ports=(0,))) as server, top_at(tmp_path, "-p", str(server.port)) as terminal:
        if key:
            terminal.type(key)
        else:
            os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.exit_status() == status


def test_it_works_over_tls_and_with_a_password(tmp_path: Path, certificates: TLSFiles) -> None:
    files = certificates.server
    settings = Settings(tls_port=0, tls_cert=str(files.certificate), tls_key=str(files.key), password="secret")
    authority = str(certificates.authority.certificate)
    with Server(settings) as server:
        url = f"rediss://127.0.0.1:{server.tls_port}"
        with top_at(tmp_path, "-u", url, "--cacert", authority, KVLINE_PASSWORD="secret") as terminal:
            terminal.type("q")
            assert terminal.exit_status() == 0


@contextmanager
def top_at(folder: Path, *options: str, **variables: str) -> Iterator[ClientTerminal]:
    """Run the view at a pseudo-terminal. When it has ended, the terminal must be as it was before."""
    with ClientTerminal(
        *options, "--top", "-i", "0.1", history=folder / "history", TERM="xterm-256color", **variables
    ) as terminal:
        terminal.expect("throughput: ")
        assert terminal.attributes != terminal.initial_attributes
        yield terminal
        assert terminal.attributes == terminal.initial_attributes
        shown = terminal.received
        for mode in ("1049", "1000", "1004", "2004"):  # alternate screen, mouse, focus, bracketed paste
            assert shown.rfind(f"\x1b[?{mode}l") >= shown.rfind(f"\x1b[?{mode}h")
        assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is shown"


def test_without_a_terminal_it_is_one_sentence() -> None:
    with Server(Settings(ports=(0,))) as server:
        ended = run_client("-p", str(server.port), "--top")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"kvline: --top needs a terminal; --stat prints lines\n"


def test_without_the_extra_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    a_terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys, "stdin", a_terminal)
    monkeypatch.setattr(sys, "stdout", a_terminal)
    monkeypatch.delitem(sys.modules, "client.tools.top.app")
    monkeypatch.setitem(sys.modules, "textual_plotext", None)
    with pytest.raises(MissingExtra, match=r"--top needs the extra 'top' .*: install it with ."):
        show_top(local_conversation(), 1.0, colours=True)
