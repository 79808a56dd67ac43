"""The screen: a line about the server, its figures, plots, the clients and the slow log.

Everything that the server has sent is shown as `rich.text.Text`, so that brackets in it are not taken for markup.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import ClassVar, TypeAlias

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static
from textual_plotext import PlotextPlot

from client.conversation import Conversation
from client.tools.server_info import ServerInfo, format_bytes
from client.tools.top.history import Curve, History
from client.tools.top.sampler import Sampler
from client.tools.top.snapshot import Client, SlowCommand, Snapshot

MAX_ROWS = 100
"""Rows of a table."""

MAX_TIME = 2**33
"""Points in time of a slow log that are shown, in seconds since the epoch. The C library refuses much larger ones."""

SortKey: TypeAlias = Callable[[Client], tuple[int | str, int]]

SORT_KEYS: dict[str, SortKey] = {
    "idle": lambda client: (client.idle, client.id),
    "age": lambda client: (-client.age, client.id),
    "memory": lambda client: (-client.memory, client.id),
    "name": lambda client: (client.name, client.id),
}
"""By the column that the clients are sorted by."""


class Sampled(Message):
    """The sampler has a snapshot, or the reason why it has none."""

    def __init__(self, sample: Snapshot | str) -> None:
        super().__init__()
        self.sample = sample

    def can_replace(self, message: Message) -> bool:
        """Replace an older one that waits, if the terminal is slower than the sampler."""
        return isinstance(message, Sampled)


class Top(App[int]):
    """The live view. ``run`` returns None after its user has closed it, else the exit status."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #state, #figures { height: auto; padding: 0 1; }
    #state { background: $primary-background; }
    #plots { grid-size: 2 2; height: 3fr; }
    #tables { height: 2fr; min-height: 5; }
    #tables > VerticalScroll { border: round $primary; }
    #slow-log { width: 2fr; }
    #clients { width: 3fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "Quit", key_display="q", priority=True),
        Binding("p", "pause", "Pause"),
        Binding("s", "sort", "Sort clients"),
    ]

    def __init__(self, conversation: Conversation, interval: float) -> None:
        super().__init__()
        self._address = conversation.name
        self._sampler = Sampler(conversation, interval, lambda sample: self.post_message(Sampled(sample)))
        self._history = History()
        # Kept here and not queried: a snapshot may arrive while the program ends, when the screen has no widgets.
        self._state_line = Static(id="state")
        self._figures = Static(id="figures")
        self._plots = [CurvePlot(curve) for curve in self._history.curves]
        self._clients, self._slow_log = Static(), Static()
        self._client_box = VerticalScroll(self._clients, id="clients")
        self._sample: Snapshot | str = "no data yet"
        self._before: ServerInfo | None = None
        self._is_paused = False
        self._sort_order = next(iter(SORT_KEYS))

    def compose(self) -> ComposeResult:
        """Arrange the screen."""
        yield self._state_line
        yield self._figures
        yield Grid(*self._plots, id="plots")
        with Horizontal(id="tables"):
            yield self._client_box
            with VerticalScroll(id="slow-log") as box:
                box.border_title = "slow log"
                yield self._slow_log
        yield Footer()

    def on_mount(self) -> None:
        """Begin to ask the server."""
        if sys.platform != "win32":
            # Without this the program would end within the alternate screen of the terminal.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, 128 + signal.SIGTERM)
        self._show()
        self._sampler.start()

    def on_unmount(self) -> None:
        """End the sampler."""
        self._sampler.stop()
        if sys.platform != "win32":
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    def on_sampled(self, message: Sampled) -> None:
        """Show what the sampler has found."""
        if isinstance(self._sample, Snapshot) and isinstance(self._sample.info, ServerInfo):
            self._before = self._sample.info
        self._sample = message.sample
        if isinstance(message.sample, Snapshot):
            self._history.add(message.sample)
        else:
            self._history.interrupt()
            self._before = None
        self._show()

    def action_pause(self) -> None:
        """Stop to ask the server, or go on."""
        self._is_paused = not self._is_paused
        (self._sampler.pause if self._is_paused else self._sampler.resume)()
        self._show()

    def action_sort(self) -> None:
        """Sort the clients by the next column."""
        orders = list(SORT_KEYS)
        self._sort_order = orders[(orders.index(self._sort_order) + 1) % len(orders)]
        self._show()

    def _show(self) -> None:
        """Show the last sample. Without a connection the figures and tables are those of the last snapshot."""
        sample = self._sample
        self._state_line.update(self._state())
        self._client_box.border_title = f"clients by {self._sort_order}"
        if isinstance(sample, str):
            return
        self._figures.update(_figures(sample, self._before))
        for plot in self._plots:
            plot.show()
        self._clients.update(_client_table(sample.clients, SORT_KEYS[self._sort_order]))
        self._slow_log.update(_slow_log_table(sample.slow_commands))

    def _state(self) -> Text:
        """Describe the server and the connection in a line."""
        sample = self._sample
        state = Text(self._address, style="bold")
        if isinstance(sample, str):
            return state.append(f"  not connected: {sample}", style="red")
        if isinstance(sample.info, ServerInfo):
            state.append(f"  {_describe(sample.info)}", style="not bold")
        return state.append("  paused" if self._is_paused else "", style="reverse")


class CurvePlot(PlotextPlot):
    """The plot of a curve."""

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self._curve = curve

    def show(self) -> None:
        """Draw the curve again."""
        times, values = self._curve.points()
        last = self._curve.last
        self.plt.clear_data()
        self.plt.title(self._curve.title if last is None else f"{self._curve.title}: {last:,.2f} {self._curve.unit}")
        self.plt.ylim(0, max(values, default=0) * 1.1 or 1)
        self.plt.xlim(min(times, default=0) or -1, 0)
        self.plt.xfrequency(0)
        self.plt.yfrequency(3)
        self.plt.plot(times, values, marker="braille")
        self.refresh()


def _describe(info: ServerInfo) -> str:
    fields = info.fields
    name, version = ("kvline", "kvline_version") if "kvline_version" in fields else ("Redis", "redis_version")
    minutes = int(info.number("uptime_in_seconds")) // 60
    up = f"up {minutes // 1440} d {minutes // 60 % 24} h {minutes % 60} min"
    return f"{name} {fields.get(version, '')[:20]}, {fields.get('role', '')[:20]}, {up}"


def _figures(sample: Snapshot, before: ServerInfo | None) -> Text:
    """Return the figures of INFO, in two lines."""
    info = sample.info
    latency = f"latency {sample.latency:.2f} ms" if isinstance(sample.latency, float) else f"PING {sample.latency}"
    if isinstance(info, str):
        return Text(f"INFO {info}\n{latency}")
    before = before or info
    hit_rate = info.hit_rate(before)
    limit = info.number("maxmemory")
    first = (
        f"{info.rate('total_commands_processed', before):,.0f} requests/s",
        latency,
        f"hit rate {'-' if hit_rate is None else f'{hit_rate:.0%}'}",
        f"memory {format_bytes(info.number('used_memory'))}{f' of {format_bytes(limit)}' if limit else ''}",
        f"RSS {format_bytes(info.number('used_memory_rss'))}",
    )
    second = (
        f"{info.keys:,.0f} keys",
        f"{info.number('connected_clients'):,.0f} clients",
        f"{info.number('blocked_clients'):,.0f} blocked",
        f"{info.rate('total_connections_received', before):,.0f} connections/s",
        f"{info.rate('expired_keys', before):,.0f} expired/s",
        f"{info.rate('evicted_keys', before):,.0f} evicted/s",
    )
    return Text("  ".join(first) + "\n" + "  ".join(second))


def _client_table(clients: list[Client] | str, sort_key: SortKey) -> RenderableType:
    if isinstance(clients, str):
        return Text(clients)
    table = _new_table("address", "name", "age", "idle", "memory", "command", numbers=("age", "idle", "memory"))
    for client in sorted(clients, key=sort_key)[:MAX_ROWS]:
        memory = format_bytes(client.memory)
        _add_row(table, client.address, client.name, f"{client.age} s", f"{client.idle} s", memory, client.command)
    return table


def _slow_log_table(commands: list[SlowCommand] | str) -> RenderableType:
    if isinstance(commands, str):
        return Text(commands)
    table = _new_table("time", "ms", "command", "client", numbers=("ms",))
    for command in commands[:MAX_ROWS]:
        at = time.strftime("%H:%M:%S", time.localtime(command.at)) if 0 <= command.at < MAX_TIME else ""
        _add_row(table, at, f"{command.milliseconds:,.1f}", command.command, command.address)
    return table


def _new_table(*columns: str, numbers: tuple[str, ...]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True, overflow="ellipsis")
    return table


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*map(Text, cells))
