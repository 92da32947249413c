"""The recordings that lie beside a checkout of the whole project, and nothing where they do not."""

from __future__ import annotations

import base64
import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("STREAMCORE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
OWN = Path(__file__).parent / "recordings"
MISSING = pytest.mark.skip(reason=f"no third-party recordings beside the checkout ({SHARED.name})")


@dataclass(frozen=True)
class Row:
    """One line of a file of recordings."""

    fields: dict[str, Any]

    @property
    def id(self) -> str:
        return self.fields["id"]

    @property
    def body(self) -> bytes:
        return base64.b64decode(self.fields["body_b64"])

    @property
    def status(self) -> int:
        return self.fields["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): str(value) for name, value in (self.fields.get("response_headers") or {}).items()}

    @property
    def flags(self) -> list[str]:
        return self.fields.get("flags") or []


def rows(name: str) -> list[Row]:
    """The rows of `recordings/<name>.jsonl.gz`, none if it is missing."""
    path = SHARED / "recordings" / f"{name}.jsonl.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [Row(json.loads(line)) for line in lines]


def params(name: str) -> list[Any]:
    """The rows as pytest parameters; one that is skipped, with the reason, if the file is missing."""
    found = [pytest.param(row, id=row.id) for row in rows(name)]
    return found or [pytest.param(None, marks=MISSING, id="missing")]
