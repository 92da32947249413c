"""What all tests share: how long Hypothesis searches, the event loops, and what is registered."""

from __future__ import annotations

import os
from importlib import metadata
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

import postgres_server

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


@pytest.fixture
def entry_points(monkeypatch):
    """Makes a group of entry points of what it is filled with, and says which of them were loaded, in order."""

    def make(group):
        modules, loaded = {}, []

        class Counted(metadata.EntryPoint):
            def load(self):
                loaded.append(self.name)
                found = modules[self.name]
                if isinstance(found, Exception):
                    raise found
                return found

        def select(**wanted):
            return metadata.EntryPoints(Counted(name, f"x_{name}", group) for name in modules).select(**wanted)

        monkeypatch.setattr(metadata, "entry_points", select)
        return modules, loaded

    return make


@pytest.fixture(scope="session")
def postgres():
    """A server of this process's own."""
    try:
        with postgres_server.started() as running:
            yield running
    except postgres_server.NoServerError as error:
        pytest.skip(str(error))


SCHEMAS = count()


@pytest.fixture
def new_schema(postgres):
    """Makes a schema in the database, and says by which setting of a connection it is the only one seen."""
    import psycopg

    def make():
        schema = f"test_{next(SCHEMAS)}"
        with psycopg.connect(postgres.conninfo()) as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        return {"options": f"-csearch_path={schema}"}

    return make


@pytest.fixture
def schema(new_schema):
    """A schema of the test's own."""
    return new_schema()


@pytest.fixture
def conninfo(postgres, schema):
    """How to connect to it."""
    return postgres.conninfo(**schema)


@pytest.fixture
def address(postgres, schema):
    """The same as a URL."""
    return postgres.address(**schema)
