"""What is shown, and where.

The answer goes to stdout. What is said about it (reasoning, tool calls, outcome, usage) goes beside it if stdout is a
terminal, else to stderr, so that a pipe gets the answer and nothing else. Styles are for terminals that want them;
control characters are for nobody: a model could move the cursor, retitle the window or answer queries with them.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

__all__ = ["BOLD", "DIM", "PLAIN", "Terminal", "harmless", "one_line"]

PLAIN: Final = ""
BOLD: Final = "1"
DIM: Final = "2"
_RED: Final = "31"
_YELLOW: Final = "33"

# What a terminal would obey is shown instead: C0 and DEL as their pictures, C1 as escapes. CR alone is left out,
# because it comes with LF where it is meant well.
_SHOWN: Final[Mapping[int, str | None]] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in b"\n\t"},
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    0x0D: None,
    0x7F: "\u2421",
}


class _Pen:
    """Writes to one text stream, and knows how many line ends its last words closed with."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # an answer may hold what the terminal's encoding does not
        self._line_ends = 2
        self.is_terminal = stream.isatty()
        self._styled = self.is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def write(self, text: str, style: str = PLAIN) -> None:
        """Write at once. The style ends with the text, so an interruption leaves nothing behind."""
        if not text:
            return
        words = text.rstrip("\n")
        self._line_ends = len(text) - len(words) + (0 if words else self._line_ends)
        if self.is_terminal:
            text = harmless(text)
        self._stream.write(f"\x1b[{style}m{text}\x1b[0m" if style and self._styled else text)
        self._stream.flush()

    def ask(self, prompt: str, read: Callable[[], str]) -> str:
        """Show the prompt, unless `read` does, and let the user end the line (by Ctrl-D or Ctrl-C it stays unended)."""
        self.end_lines(2)
        self.write(prompt)
        self.unended()
        text = read()
        self._line_ends = 1
        return text

    def unended(self) -> None:
        """Somebody else has written, and has not ended the line."""
        self._line_ends = 0

    def end_lines(self, count: int) -> None:
        """End the line under way (1), and leave one empty (2). Nothing at the very beginning."""
        self.write("\n" * (count - self._line_ends))


class Terminal:
    """stdout and stderr of one run of the command."""

    def __init__(self, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> None:
        self._out = _Pen(out, environ)
        self._err = _Pen(err, environ)
        self._beside = self._out if self._out.is_terminal else self._err
        self._between = 2 if self._beside is self._out else 1  # line ends between answer and notes
        self._answering = True

    def answer(self, text: str) -> None:
        """Words of the answer."""
        if text and not self._answering:
            self._beside.end_lines(self._between)
            self._answering = True
        self._out.write(text)

    def note(self, text: str, *, line: bool = False) -> None:
        """Something that is not the answer, dimmed; `line` begins a new one."""
        if text and self._answering:
            self._beside.end_lines(self._between)
            self._answering = False
        if line:
            self._beside.end_lines(1)
        self._beside.write(text, DIM)

    def end(self) -> None:
        """End the line under way, of the answer or a note."""
        self._out.end_lines(1)
        self._beside.end_lines(1)
        self._answering = True

    def interrupted(self) -> None:
        """End the line under way after Ctrl-C, of which a terminal itself shows ^C."""
        if self._beside.is_terminal:
            self._beside.unended()
        self.end()

    def status(self, text: str) -> None:
        """The last line of an answer."""
        self.end()
        self._beside.write(f"{text}\n", DIM)

    def line(self, text: str = "", style: str = PLAIN) -> None:
        """A line of the command's own result, on stdout."""
        self.end()
        self._out.write(f"{text}\n", style)

    def message(self, text: str) -> None:
        """A line to the user, on stderr."""
        self.end()
        self._err.write(f"{text}\n", DIM)

    def warning(self, text: str) -> None:
        """Something that is not as was asked, on stderr."""
        self.end()
        self._err.write("warning: ", _YELLOW)
        self._err.write(f"{one_line(text)}\n")

    def error(self, text: str) -> None:
        """Why there is no answer, or no whole one, in one line on stderr."""
        self.end()
        self._err.write("streamcore: ", _RED)
        self._err.write(f"{one_line(text)}\n")

    @contextmanager
    def progress(self, text: str) -> Generator[None]:
        """A line on stderr while something takes its time, and how long it took."""
        began = time.perf_counter()
        self._err.write(f"{text} … ", DIM)
        try:
            yield
        except BaseException:
            self._err.end_lines(1)
            raise
        self._err.write(f"{time.perf_counter() - began:.1f} s", DIM)
        self._err.end_lines(2 if self._err.is_terminal else 1)

    def ask(self, prompt: str, *, interactive: bool) -> str:
        """A line from the user; the prompt is shown where it does not mix with the answer.

        Raises:
            EOFError: There is none.
        """
        self.end()
        if not interactive:
            return input()
        if self._out.is_terminal:
            return self._out.ask("", lambda: input(prompt))  # readline must know where the line begins
        return self._err.ask(prompt, input)


def harmless(text: str) -> str:
    """The text with nothing that a terminal would obey, other than LF and tab."""
    return text.translate(_SHOWN)


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())
