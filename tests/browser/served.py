"""A service in a process of its own, as users start it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2


class Served:
    """`firstsight serve` over the galleries of `home`; `port` 0 takes any, and keeps it over a restart. `inside`
    are words that have it run elsewhere, `program` what Python runs in its place."""

    def __init__(
        self,
        home: Path,
        *options: str,
        inside: Sequence[str] = (),
        program: Sequence[str] = ("-m", "firstsight", "serve"),
    ) -> None:
        self.home, self.options, self.inside, self.program, self.port = home, options, inside, program, 0
        self.printed: list[str] = []
        self.start()

    def start(self) -> None:
        """Start, and wait until it says where it listens."""
        command = [*self.inside, sys.executable, *self.program, "--port", str(self.port), *self.options]
        environment = {**os.environ, "FIRSTSIGHT_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        self.log = (self.home / "serve.log").open("ab")
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True, encoding="utf-8"
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.strip())
            if said := re.search(r"https?://\S+:(\d+)", line):
                self.port = int(said[1])
                return
        raise AssertionError((self.home / "serve.log").read_text())

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def api(self, method: str, path: str, *, key: str | None = None, **options: Any) -> Any:
        """What a program asks, past the pages."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        response = httpx2.request(method, self.address + path, headers=headers, timeout=60, **options)
        response.raise_for_status()
        return response.json()

    def enroll(self, name: str, picture: bytes, **options: Any) -> int:
        files = {"picture": ("picture.png", picture, "image/png")}
        answer = self.api("POST", "/v1/people", files=files, data={"name": name}, **options)
        number: int = answer["person"]["id"]
        return number

    def forget_all(self) -> None:
        while people := self.api("GET", "/v1/people")["people"]:
            for person in people:
                self.api("DELETE", f"/v1/people/{person['id']}")
