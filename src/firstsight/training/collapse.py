"""The alarm for a collapse: all pictures mapped to one point, where the loss stays at the margin for ever.

FaceNet (section 3.2) reports it for the hardest negatives early in training.
"""

from collections.abc import Callable

from firstsight.training.loop import Update

SPREAD = 0.02
"""Mean squared distance of the embeddings to their mean; 1 where they fill the sphere, 0 in a single point."""
UPDATES = 10
"""Updates in a row before the alarm: a step that was too long can throw the embeddings together for a few, from where
they spread again by themselves (measured: up to 8, with AdaGrad and AdamW)."""


def watch_for_collapse(margin: float) -> Callable[[Update], str | None]:
    """A watcher of updates: gives a warning, once, when the embeddings are collapsing.

    They are, when they hardly spread and pairs of different identities lie no farther apart than the margin asks, so
    that nearly every triplet is active and the loss is near the margin; and when that does not get better.
    """
    spreads: list[float] = []
    warned = False

    def watch(update: Update) -> str | None:
        nonlocal spreads, warned
        figures = update.figures
        if "spread" not in figures:
            return None
        active = figures["active"] / max(figures["considered"], 1)
        collapsed = figures["spread"] < SPREAD and figures["mean_different"] < max(margin, SPREAD) and active > 0.5
        spreads = [*spreads[-UPDATES + 1 :], figures["spread"]] if collapsed else []
        widening = sum(spreads[: UPDATES // 2]) < sum(spreads[UPDATES // 2 :])
        if warned or widening or len(spreads) < UPDATES:
            return None
        warned = True
        return (
            f"Update {update.number}: the embedding is collapsing to a point (spread {figures['spread']:.4f}, "
            f"{active:.0%} of the triplets active, loss {update.loss:.3f} at margin {margin:g}). "
            "Try --select all or semihard, a lower --learning-rate, or a larger batch."
        )

    return watch
