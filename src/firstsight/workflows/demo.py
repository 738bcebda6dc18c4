"""The demo: digits 0 to 6 are learned; 7, 8 and 9, never trained on, are then known from one picture each.

N pictures, D embedding.
"""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firstsight.config import Batch, Data, Loss, Network, Optimizer, Preprocessing, Recipe, Training
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.errors import StorageError, UserError
from firstsight.evaluation import pages
from firstsight.evaluation.plots import share_label
from firstsight.evaluation.protocols import Evaluation, evaluate
from firstsight.evaluation.report import Table, write_report
from firstsight.evaluation.sections import percent
from firstsight.models.folder import make_model
from firstsight.models.registry import build_network
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.workflows.progress import OnProgress, silent, stages
from firstsight.workflows.train_run import Run, train

UNSEEN = ("7", "8", "9")
MARK = "DEMO.txt"
"""The file that says that a folder is a demo's."""
COLUMNS = ("", "7, 8, 9 (never trained on)", "all ten digits")


@dataclass(frozen=True)
class Demo:
    """What there is to show: a table, lines to read after it, and all figures as one flat dict."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lines: list[str]
    figures: dict[str, Any]


def demo(*, out: Path, seed: int = 0, on_progress: OnProgress = silent) -> Demo:
    """Train, evaluate, enroll and identify on scikit-learn's handwritten digits; write all of it into `out`.

    An older demo at the same place is replaced.

    Raises:
        StorageError: `out` cannot be written.
    """
    try:
        _make_room(out)
        write_digits(out / "digits")
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}.", hint="Name another --out.") from error
    run = train(demo_recipe(out / "digits", seed=seed), out=out, on_progress=on_progress)
    digits = open_pictures(out / "digits")
    everything = evaluate(run.model, digits, on_progress=stages(on_progress, "All digits: "))
    assert run.evaluation is not None, "the recipe names held-out digits"
    known, probes = _enroll_and_identify(run, digits, out / "gallery.sqlite")
    rows = _rows(run.evaluation, everything)
    report = _write_report(run, everything, rows)
    lines = [
        f"Enrolled the first picture of each digit, then identified the other {probes:,}: {known:,} by name.",
        f"report: {report}",
        f"next:   firstsight identify {out}/digits/8 --gallery {out}/gallery.sqlite",
        "draw:   firstsight serve   and open http://127.0.0.1:8000",
    ]
    figures = {f"all_{name}": value for name, value in everything.to_json().items()}
    return Demo(COLUMNS, rows, lines, run.evaluation.to_json() | figures)


def _make_room(out: Path) -> None:
    """Remove an older demo; anything else at the same place stays, and is refused."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / MARK).is_file():
        raise UserError(f"{out} holds something else than a demo.", hint="Name another --out.")
    shutil.rmtree(out)


def demo_recipe(digits: Path, *, seed: int) -> Recipe:
    """Seven digits are few to learn likeness from, so each orientation of one counts as a further identity."""
    return Recipe(
        data=Data(path=str(digits / "learned.csv"), val=str(digits / "unseen.csv"), orientations=8),
        preprocessing=Preprocessing(height=24, width=24, color="gray"),
        network=Network(channels=(32, 64, 128), embedding_size=64),
        loss=Loss(margin=0.1),
        batch=Batch(identities=14, pictures=8),
        optimizer=Optimizer(learning_rate=0.1),
        training=Training(epochs=4, augment=2.0, seed=seed),
    )


def write_digits(folder: Path) -> None:
    """Write load_digits as identity folders of PNG files, with a manifest of the learned and one of the unseen."""
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / MARK).write_text("Made by firstsight demo, which may replace this folder.\n", "utf-8")
    digits = load_digits()
    manifests: dict[str, list[tuple[str, str]]] = {"learned": [], "unseen": []}
    for i, (picture, label) in enumerate(zip(digits.images, digits.target.astype(str), strict=True)):
        path = folder / label / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(picture * (255 / 16))).save(path)
        manifests["unseen" if label in UNSEEN else "learned"].append((f"{label}/{path.name}", label))
    for name, rows in manifests.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label"), *rows])


def _enroll_and_identify(run: Run, digits: PictureSet, gallery: Path) -> tuple[int, int]:
    """Enroll the first picture of each digit for the user to try; count how many others are known by name."""
    first = [digits.labels.index(label) for label in range(len(digits.names))]
    others = [i for i in range(len(digits)) if i not in first]
    with Gallery(gallery) as opened:
        recognizer = Recognizer(run.model, opened)
        for i in first:
            recognizer.enroll(digits.names[digits.labels[i]], digits.read(i), anyway=True)  # look-alikes too
        decisions = recognizer.identify_many(digits.read(i) for i in others)
        known = sum(
            decision.name == digits.names[digits.labels[i]] for i, decision in zip(others, decisions, strict=True)
        )
    return known, len(others)


def _rows(unseen: Evaluation, everything: Evaluation) -> list[tuple[str, ...]]:
    both = (unseen, everything)
    rows: list[tuple[str, ...]] = [
        ("one-shot accuracy (mean of 200 choices)", *(percent(e.one_shot.accuracy) for e in both)),
        ("nearest pixels, same choices", *(percent(e.to_json()["pixel_accuracy"]) for e in both)),
        ("ROC AUC", *(f"{e.verification.auc:.3f}" for e in both)),
    ]
    for vals in zip(*(e.verification.val_at_far for e in both), strict=True):
        if any(val.val is not None for val in vals):
            name = f"VAL at FAR {share_label(vals[0].target)}"
            rows.append((name, *(percent(val.val) if val.val is not None else "too few pairs" for val in vals)))
    return rows


def _write_report(run: Run, everything: Evaluation, rows: list[tuple[str, ...]]) -> Path:
    unseen = run.evaluation
    assert unseen is not None
    untrained = make_model(
        build_network(run.job.config, seed=run.recipe.training.seed), run.job.config, name="untrained"
    )
    before_ND = embed_pictures(untrained, [everything.pictures.read(i) for i in range(len(everything.pictures))])
    return write_report(
        run.folder,
        title="Recognized at first sight",
        summary="A network learned handwritten digits 0 to 6 with the triplet loss. Then 7, 8 and 9, which it had "
        "never seen, were enrolled from one picture each, and their other pictures recognized.",
        headlines=pages.headlines(unseen),
        tables=[Table("Recognized from one picture each", "Each figure on other pictures.", COLUMNS, rows)],
        sections=[
            run.learning_section(),
            pages.embedding_section(everything, before_ND, unseen=UNSEEN),
            pages.distance_section(unseen),
            pages.picture_section(everything),
        ],
        data=unseen.to_json() | {f"all_{name}": value for name, value in everything.to_json().items()},
        footer=pages.footer(unseen),
    )
