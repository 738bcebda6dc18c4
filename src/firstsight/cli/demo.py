from pathlib import Path

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json, print_table, progress
from firstsight.cli.options import Json, Out, Seed


def demo(*, out: Out = Path("runs/demo"), seed: Seed = 0, json: Json = False) -> int:
    """Learn handwritten digits 0 to 6, then recognize 7, 8 and 9, never trained on, from one picture each.

    The digits are real (scikit-learn's load_digits) and come with the installation. Takes under a minute.

    Example: firstsight demo --out runs/demo
    """
    from firstsight.workflows.demo import demo

    with progress(quiet=json) as on_progress:
        shown = demo(out=out, seed=seed, on_progress=on_progress)
    if json:
        print_json(shown.figures)
        return 0
    print_table(shown.columns, shown.rows, title="Recognized from ONE enrolled picture of each")
    for line in shown.lines:
        console.print(line, markup=False)
    return 0
