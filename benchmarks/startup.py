"""How long a user waits for the first line: `firstsight --help` and `import firstsight`, beside Python alone.

python benchmarks/startup.py
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import firstsight": ["-c", "import firstsight"],
    "firstsight --help": ["-m", "firstsight", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    repeats = parser.parse_args().repeats
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):
        for name, words in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    print("| command | median, s | fastest, s |\n|---|---:|---:|")
    for name, found in seconds.items():
        warm = found[1:]
        print(f"| `{name}` | {statistics.median(warm):.3f} | {min(warm):.3f} |")


if __name__ == "__main__":
    main()
