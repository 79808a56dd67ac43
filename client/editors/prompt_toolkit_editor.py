"""The line editor with hints, shown dimmed after the cursor. It needs prompt_toolkit."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Mapping

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_done
from prompt_toolkit.formatted_text import fragment_list_width
from prompt_toolkit.history import History as ToolkitHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import (
    ConditionalProcessor,
    Processor,
    Transformation,
    TransformationInput,
)
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from client.editors.lexer import CommandLexer
from client.hints.completion import BLANKS, FindKeys, completions, hint
from client.history import History

# Italic, because on a terminal without colours nothing else distinguishes a hint from typed text.
STYLE = Style.from_dict(
    {
        "hint": "italic ansibrightblack",
        "auto-suggestion": "ansibrightblack",
        "command": "ansigreen",
        "unknown": "ansired",
        "keyword": "ansiyellow",
        "quoted": "ansicyan",
    }
)


class PromptToolkitEditor:
    """A `client.editors.line_editor.LineEditor`.

    ``terminal_input`` and ``terminal_output`` replace the terminal at stdin and stdout.
    """

    def __init__(
        self,
        usages: Mapping[str, str],
        history: History,
        find_keys: FindKeys | None = None,
        *,
        colours: bool = False,
        terminal_input: Input | None = None,
        terminal_output: Output | None = None,
    ) -> None:
        self._history = history
        self._hints = _HintProcessor(usages)
        self._input = terminal_input
        # Lines of a paste after the first one. They are read without the editor, which takes milliseconds per line.
        self._pasted: deque[str] = deque()
        self._unfinished = ""  # what was pasted after the last line break
        self._output = terminal_output or _default_output()
        self._session: PromptSession[str] = PromptSession(
            history=_SharedHistory(history),
            completer=_ArgumentCompleter(usages, find_keys),
            auto_suggest=AutoSuggestFromHistory(),
            lexer=CommandLexer(usages) if colours else None,
            complete_while_typing=False,  # hints show what may follow; Tab alone completes, as in readline
            complete_style=CompleteStyle.READLINE_LIKE,
            # Without the hint when Enter is pressed, so that the scrollback contains only what was typed.
            input_processors=[ConditionalProcessor(self._hints, ~is_done)],
            key_bindings=self._paste_as_typed(),
            style=STYLE,
            color_depth=None if colours else ColorDepth.DEPTH_1_BIT,
            enable_suspend=True,  # Ctrl-Z, which prompt_toolkit ignores by default
            input=terminal_input,
            output=self._output,
        )

    def read(self, prompt: str) -> str:
        """Read one line. See `LineEditor`."""
        if self._pasted:
            line = self._pasted.popleft()
            self._output.write(f"{prompt}{line}\n")
            self._output.flush()
            self._session.history.append_string(line)
            return line
        self._hints.prompt_width = get_cwidth(prompt)
        default, self._unfinished = self._unfinished, ""
        return self._session.prompt(prompt, default=default)

    def discard_pasted_lines(self) -> None:
        """See `LineEditor`."""
        self._pasted.clear()
        self._unfinished = ""

    def ask(self, question: str) -> str:
        """See `LineEditor`."""
        session: PromptSession[str] = PromptSession(input=self._input, output=self._output)
        return session.prompt(question)

    def _paste_as_typed(self) -> KeyBindings:
        """Make a pasted line break act as Enter, so that each pasted line runs. By default all are one command."""
        bindings = KeyBindings()

        @bindings.add(Keys.BracketedPaste)
        def paste(event: KeyPressEvent) -> None:
            # Terminals send the line breaks of a paste as CR, LF or CRLF.
            first, *others = event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            event.current_buffer.insert_text(first)
            if others:
                *lines, self._unfinished = others
                self._pasted.extend(lines)
                event.current_buffer.validate_and_handle()

        return bindings

    def __enter__(self) -> PromptToolkitEditor:
        return self

    def __exit__(self, *_: object) -> None:
        self._history.close()


def _default_output() -> Output:
    """Return an output for the terminal at stdout.

    Cursor position reports (CPR) are disabled: only menus need them, and a late report would be read as input.
    """

    def size() -> Size:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        return Size(rows=rows or 24, columns=columns or 80)  # some terminals report a size of zero

    return Vt100_Output(sys.stdout, size, term=os.environ.get("TERM"), enable_cpr=False)


class _HintProcessor(Processor):
    """Shows the hint after the line, cut at the end of the row."""

    def __init__(self, usages: Mapping[str, str]) -> None:
        self._usages = usages
        self.prompt_width = 0

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        fragments = transformation_input.fragments
        document = transformation_input.document
        # Elsewhere in the line the text after the cursor is not what the hint continues. A line of the history that
        # is suggested takes the place of the hint.
        if not document.is_cursor_at_the_end or transformation_input.buffer_control.buffer.suggestion is not None:
            return Transformation(fragments)
        # One column less than the row: a hint that wrapped would move the rows below it with every key.
        width = transformation_input.width
        room = width - 1 - (self.prompt_width + fragment_list_width(fragments)) % width
        return Transformation([*fragments, ("class:hint", _cut(hint(self._usages, document.text), room))])


def _cut(text: str, columns: int) -> str:
    """Return the longest beginning of the text that is at most ``columns`` wide."""
    # Not a slice, because a character may be two columns wide.
    while get_cwidth(text) > columns:
        text = text[:-1]
    return text


class _ArgumentCompleter(Completer):
    """Completes the argument before the cursor."""

    def __init__(self, usages: Mapping[str, str], find_keys: FindKeys | None) -> None:
        self._usages = usages
        self._find_keys = find_keys

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        unfinished = len(before) - max(before.rfind(blank) for blank in BLANKS) - 1
        # Negative: `completions` returns whole arguments, which replace what was typed of this one.
        for argument in completions(self._usages, before, self._find_keys):
            yield Completion(f"{argument} ", start_position=-unfinished, display=argument)


class _SharedHistory(ToolkitHistory):
    """Adapts `client.history.History`: `readline` cannot read the format of prompt_toolkit's own history files."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._shared = history

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._shared.lines)  # prompt_toolkit wants the latest first

    def append_string(self, string: str) -> None:
        if not self._shared.is_secret(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        self._shared.add(string)
