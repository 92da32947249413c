"""What all tests share: how long Hypothesis searches, and the event loops."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Timing is judged by benchmarks alone. In CI a red test must be red again: no randomness there, save when fuzzing.
settings.register_profile(
    "default", deadline=None, derandomize=os.environ.get("CI") == "true", suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "fuzz", settings.get_profile("default"), max_examples=10_000, derandomize=False, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
