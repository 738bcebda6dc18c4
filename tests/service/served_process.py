"""A service in a process of its own, with a model that is quick."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx2

from firstsight.config import Network, Preprocessing
from firstsight.model_config import ModelConfig, OperatingPoint
from firstsight.models.folder import make_model, save_model, set_operating_point
from firstsight.models.registry import build_network


class Process:
    """It can be killed, and started again on the port that it had."""

    def __init__(self, folder: Path) -> None:
        preprocessing = Preprocessing(height=16, width=16, color="gray", fit="stretch")
        config = ModelConfig(network=Network(channels=(4, 8), embedding_size=16), preprocessing=preprocessing)
        point = OperatingPoint(threshold=0.1, target=0.05, accepted=0, comparisons=9900, identities=100)
        model = set_operating_point(make_model(build_network(config), config, name="quick"), point)
        self.model = save_model(model, folder / "model").folder
        self.gallery, self.port = folder / "gallery.sqlite", 0
        self.start()

    def start(self) -> None:
        where = ("--port", str(self.port), "--model", str(self.model), "--gallery", str(self.gallery))
        command = [sys.executable, "-m", "firstsight", "serve", *where]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout
        line = next(line for line in self.process.stdout if line.startswith("Open "))
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL
        assert self.process.stdout
        self.process.stdout.close()

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    @property
    def memory(self) -> int:
        """Bytes that it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmRSS:")[1].split()[0])
