"""The road that a test takes, and the event loop it takes it on."""

from __future__ import annotations

import pytest

from faults.roads import MEMORY, SOCKETS, Road, named
from streamcore.testing import virtual_time


@pytest.fixture(params=[*MEMORY, *SOCKETS], ids=named)
def anyio_backend(request):
    road, backend = request.param
    return virtual_time(backend) if road == "memory" else backend


@pytest.fixture
def road(request):
    return Road(request.node.callspec.params["anyio_backend"][0])
