"""Fine-tuning as a user meets it."""

from pathlib import Path

from typed import Type


def test_no_gain_is_an_honest_no(type: Type, photos: Path, trained: Path, tmp_path: Path) -> None:
    words = ("--identities", 4, "--pictures", 4, "--epochs", 1, "--frozen-epochs", 0, "--learning-rate", 0)
    answer = type("train", "--data", photos, "--start-from", trained, "--out", tmp_path / "run", *words)
    assert answer.code == 3
    said = " ".join(answer.out.split())
    assert "Fine-tuning did not help: on the held-out identities" in said
    assert "is kept as it was." in said
    assert "was trained on" in answer.err
    assert (tmp_path / "run" / "model" / "config.json").exists()
