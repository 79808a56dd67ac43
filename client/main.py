"""The client program: parse the options, connect, then run the prompt, a batch, one command or a tool."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from client.command_line import INTERRUPTED, parse
from client.connection import ConnectionLost, SocketConnection
from client.conversation import PASSWORD_ADVICE, CannotConnect, Conversation, LoginFailed
from client.protocol import Login
from client.render.forms import FORMS, for_terminal
from common.resp_client import MalformedReply

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from typing import BinaryIO

    from client.connection import Connection
    from client.options import Options
    from client.render.forms import Renderer


def run() -> int:
    """Run the client as the program of this process, which ends afterwards. Return its exit status."""
    status = main()
    # At its exit Python would look for garbage among all objects, which takes 3 ms.
    gc.freeze()
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client and return its exit status."""
    _open_closed_streams()
    options = parse(arguments)
    try:
        conversation = _converse(options)
    except (CannotConnect, ConnectionLost, MalformedReply) as problem:
        return _report(problem, "" if isinstance(problem, LoginFailed) else _start_advice(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    try:
        return _run(conversation, options)
    except (CannotConnect, ConnectionLost, MalformedReply) as problem:
        return _report(problem)
    except OSError as problem:
        # Python would complain when it flushes the rest of the output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(problem, BrokenPipeError):  # the reader of our output has closed it
            return 1
        return _report(Exception(f"cannot read the input, or write the output: {problem.strerror or problem}"))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        conversation.disconnect()


def _open_closed_streams() -> None:
    """Let output go nowhere that the parent process has closed. Else the socket would get its descriptor."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # open until the exit
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _report(problem: Exception, advice: str = "") -> int:
    print(f"kvline: {problem}{advice}", file=sys.stderr)
    return 1


def _start_advice(options: Options) -> str:
    settings = options.connection
    if settings.tls:
        return ""
    from shlex import quote  # noqa: PLC0415  # takes 5 ms, which most starts do not need

    from common.program import start_command  # noqa: PLC0415

    place = f"--unix-socket {quote(settings.socket_path)}" if settings.socket_path else f"--port {settings.port}"
    return f". Start one with {start_command('server')} {place}"


def _converse(options: Options) -> Conversation:
    """Connect and log in. Raises as `Conversation`."""
    settings = options.connection

    def connect() -> Connection:
        if not options.local:
            return SocketConnection(settings)
        from client.local import LocalConnection  # noqa: PLC0415  # the server's code is loaded for --local alone

        return LocalConnection()

    conversation = Conversation(connect, Login(settings.user, settings.password, settings.database), settings.name)
    if conversation.needs_password and sys.stdin is not None and sys.stdin.isatty():
        conversation.disconnect()  # a server closes connections that do not authenticate soon
        login = Login(settings.user, _ask_for_password(settings.name), settings.database)
        conversation = Conversation(connect, login, settings.name)
    elif conversation.needs_password and settings.database:
        # A batch that begins with AUTH would run in another database than the one that was asked for.
        conversation.disconnect()
        raise LoginFailed(PASSWORD_ADVICE)
    return conversation


def _ask_for_password(address: str) -> str:
    """Read a password from the terminal, which does not show it. Raises `LoginFailed` after Ctrl-D."""
    from getpass import getpass  # noqa: PLC0415

    try:
        return getpass(f"password of {address}: ")
    except EOFError:
        raise LoginFailed(PASSWORD_ADVICE) from None


def _run(conversation: Conversation, options: Options) -> int:
    """Run what the options ask for. Each part is imported when it is needed, because imports are most of a start."""
    output = _buffered_stdout()
    if options.tool is not None or options.dump is not None:
        return _run_tool(conversation, options, output)
    if options.args:
        # fsencode restores the bytes that the operating system passed: a value need not be valid in this locale.
        return _run_command(conversation, [os.fsencode(arg) for arg in options.args], options, output)
    if options.file is not None:
        return _run_file(conversation, options.file, options, output)
    if sys.stdin is None:  # closed by the parent process: the same as an empty input
        return 0
    if not sys.stdin.isatty():
        return _run_batch(conversation, sys.stdin.fileno(), options, output)
    return _run_shell(conversation, options, output)


def _run_command(conversation: Conversation, args: list[bytes], options: Options, output: BinaryIO) -> int:
    from client.single_command import run_command  # noqa: PLC0415

    if options.from_stdin:
        args.append(b"" if sys.stdin is None else sys.stdin.buffer.read())
    _print_warnings(conversation)
    render = _renderer(options, output)
    return run_command(conversation, args, output, render, repeat=options.runs, interval=options.interval)


def _run_tool(conversation: Conversation, options: Options, output: BinaryIO) -> int:
    from client.tools.run import run_tool  # noqa: PLC0415

    _print_warnings(conversation)
    return run_tool(conversation, options, output, _renderer(options, output), colours=_has_colours(options, output))


def _run_file(conversation: Conversation, path: str, options: Options, output: BinaryIO) -> int:
    try:
        with open(path, "rb", buffering=0) as file:
            return _run_batch(conversation, file.fileno(), options, output)
    except OSError as problem:
        if problem.filename is None:  # not of the file
            raise
        return _report(Exception(f"{path}: {problem.strerror}"))


def _run_batch(conversation: Conversation, descriptor: int, options: Options, output: BinaryIO) -> int:
    from client.batch.run import Batch, BatchOptions  # noqa: PLC0415
    from client.source import open_source, size_of_file  # noqa: PLC0415

    _print_warnings(conversation)
    batch_options = BatchOptions(
        first_line=max(1, options.resume),
        stop_on_error=options.stop_on_error,
        quiet=options.quiet,
        always_sum_up=options.file is not None,
        size=size_of_file(descriptor),
    )
    return Batch(conversation, open_source(descriptor), output, _renderer(options, output), batch_options).run()


def _run_shell(conversation: Conversation, options: Options, output: BinaryIO) -> int:
    from client.editors.line_editor import line_editor  # noqa: PLC0415
    from client.history import History, history_file  # noqa: PLC0415
    from client.render.pretty import Pretty  # noqa: PLC0415
    from client.shell.documentation import Documentation  # noqa: PLC0415
    from client.shell.keys import KeyCompletions  # noqa: PLC0415
    from client.shell.loop import Shell  # noqa: PLC0415
    from client.shell.screen import Screen, find_pager  # noqa: PLC0415
    from client.shell.typed_line import contains_secret  # noqa: PLC0415

    colours = _has_colours(options, output)
    documentation = Documentation()
    if not documentation.load(conversation):
        conversation.reconnect()
    keys = KeyCompletions(conversation)
    editor = line_editor(documentation.usages, History(history_file(), contains_secret), keys.find, colours=colours)
    pager = None if options.no_pager or not output.isatty() else find_pager()
    screen = Screen(output, Pretty(colours=colours, types=options.form == "types"), pager)
    return Shell(conversation, editor, screen, documentation, confirms=not options.no_confirm).run()


def _renderer(options: Options, output: BinaryIO) -> Renderer:
    """Return the renderer that the options select: by default the text protocol's form, prettier at a terminal."""
    if options.form == "raw" or (options.form in FORMS and not output.isatty()):
        return FORMS[options.form]
    if options.form in FORMS:
        return for_terminal(FORMS[options.form])
    if not options.form and not output.isatty():
        return FORMS["text"]
    from client.render.pretty import Pretty  # noqa: PLC0415

    return Pretty(colours=_has_colours(options, output), types=options.form == "types")


def _has_colours(options: Options, output: BinaryIO) -> bool:
    """Return whether colours are printed (https://no-color.org)."""
    plain = options.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") in {None, "", "dumb", "unknown"}
    return output.isatty() and not plain


def _print_warnings(conversation: Conversation) -> None:
    for warning in conversation.warnings:
        print(f"kvline: {warning}", file=sys.stderr)


def _buffered_stdout() -> BinaryIO:
    """Return stdout as a buffered binary stream.

    ``sys.stdout.buffer`` is unbuffered if PYTHONUNBUFFERED is set, as in many containers. Each part of a reply would
    then be a system call of its own.
    """
    return open(sys.stdout.fileno(), "wb", closefd=False)
