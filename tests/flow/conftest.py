"""Time passes only when nobody has anything else to do."""

from __future__ import annotations

import pytest

from streamcore.testing import virtual_time


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_time(request.param)
