"""Encryption at rest: unreadable without the key, tied to its row, and said in one sentence where the key is wrong."""

import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tiny_models import pixel_model, random_templates
from traces import killed_midway, pieces_found

from firstsight.errors import GalleryError, MissingExtra, StorageError
from firstsight.recognition import keys, sealing
from firstsight.recognition.decision import Rule, decide_identify
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger
from firstsight.recognition.sealing import Cipher, picture_of, seal, template_of, unseal
from firstsight.recognition.transfer import export_lines, import_lines

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
TEMPLATES = random_templates(3, seed=3)
PICTURES = [np.random.default_rng(i).bytes(9_000) for i in range(3)]
NAMES = ["ada", "bob", "cyd"]


def filled(path: Path, *, key: bytes | None) -> Path:
    with Gallery(path, key=key) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll_many(NAMES, TEMPLATES, PICTURES)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.sqlite"


def in_clear(folder: Path) -> int:
    """Pieces of pictures and templates that can be read in the files of a folder."""
    secrets = [*PICTURES, *(template.numpy().tobytes() for template in TEMPLATES)]
    return sum(pieces_found(folder, secret) for secret in secrets)


def everyone_is_known(gallery: Gallery) -> bool:
    gallery.bind_model(pixel_model("tiny"))
    found = [(match.name, match.distance) for (match,) in gallery.search(TEMPLATES, k=1)]
    kept = [gallery.templates_of(name) for name in NAMES]
    return found == [(name, 0.0) for name in NAMES] and torch.equal(torch.cat(kept), TEMPLATES)


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_files_hold_no_template_and_no_picture_in_clear(tmp_path: Path, path: Path) -> None:
    assert in_clear(filled(tmp_path / "plain" / "gallery.sqlite", key=None).parent) > 800
    folder = tmp_path / "sealed"
    filled(folder / "gallery.sqlite", key=KEY)
    with Gallery(folder / "gallery.sqlite", key=KEY) as gallery:
        assert everyone_is_known(gallery)
        gallery.enroll("dan", TEMPLATES[0], PICTURES[0])  # and none in the log
        assert in_clear(folder) == 0


def test_rows_are_what_the_page_on_galleries_says(path: Path) -> None:
    """AES-256-GCM with the nonce in front, bound to the identity and to the model: opened here without our code."""
    filled(path, key=KEY)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT identity_id, model_identity, template, picture FROM templates").fetchall()
    connection.close()
    for (identity, model, template, picture), expected, kept in zip(rows, TEMPLATES, PICTURES, strict=True):
        for sealed, plain, bound_to in (
            (template, expected.numpy().tobytes(), f"template of identity {identity} by model {model}"),
            (picture, kept, f"picture of identity {identity}"),
        ):
            assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], bound_to.encode()) == plain
    assert len({row[2][:12] for row in rows} | {row[3][:12] for row in rows}) == 6


def test_the_same_picture_is_sealed_differently_each_time(path: Path) -> None:
    filled(path, key=KEY)
    with Gallery(path, key=KEY) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        gallery.enroll("twin", TEMPLATES[0])
        gallery.enroll("triplet", TEMPLATES[0])
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(DISTINCT template) FROM templates").fetchone() == (5,)
    connection.close()


@pytest.mark.parametrize(
    ("held", "given", "said"),
    [
        (KEY, OTHER_KEY, r"^The key does not fit .*gallery\.sqlite\. Give the key that it was encrypted with\.$"),
        (KEY, None, r"gallery\.sqlite is encrypted, and no key was given\. Set FIRSTSIGHT_KEY_FILE to"),
        (
            None,
            KEY,
            r"gallery\.sqlite is not encrypted, and a key was given\. Type: firstsight gallery encrypt",
        ),
        (None, b"short", r"^The key has 5 bytes, not 32\."),
    ],
)
def test_a_wrong_key_is_said_when_the_gallery_is_opened(
    path: Path, held: bytes | None, given: bytes | None, said: str
) -> None:
    filled(path, key=held)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=said):
        Gallery(path, key=given)
    assert path.read_bytes() == before


def test_an_empty_gallery_takes_the_first_key(path: Path) -> None:
    Gallery(path).close()
    Gallery(path, key=KEY).close()
    with pytest.raises(GalleryError, match="The key does not fit"):
        Gallery(path, key=OTHER_KEY)


def test_a_row_given_to_another_identity_does_not_open(path: Path) -> None:
    filled(path, key=KEY)
    first = "(SELECT template FROM templates WHERE identity_id = 1)"
    change(path, f"UPDATE templates SET template = {first} WHERE identity_id = 2")
    with Gallery(path, key=KEY) as gallery:
        gallery.bind_model(pixel_model("tiny"))
        for use in (lambda: gallery.templates_of("bob"), lambda: gallery.search(TEMPLATES)):
            with pytest.raises(StorageError, match="a row was altered, or is not of the template of identity 2"):
                use()


def test_a_picture_is_not_taken_for_another_or_for_a_template() -> None:
    sealed = seal(Cipher(KEY), PICTURES[0], picture_of(1))
    assert unseal(Cipher(KEY), sealed, picture_of(1)) == PICTURES[0]
    for bound_to in (picture_of(2), template_of(1, "model")):
        with pytest.raises(StorageError, match=f"or is not of the {bound_to}. Put a backup in its place"):
            unseal(Cipher(KEY), sealed, bound_to)


@pytest.mark.parametrize("altered", ["zeroblob(92)", "x'00'", "substr(template, 1, 91)"])
def test_an_altered_row_does_not_open(path: Path, altered: str) -> None:
    filled(path, key=KEY)
    change(path, f"UPDATE templates SET template = {altered} WHERE identity_id = 2")
    with Gallery(path, key=KEY) as gallery:
        assert len(gallery.templates_of("ada")) == 1
        with pytest.raises(StorageError, match="a row was altered"):
            gallery.templates_of("bob")


def test_a_plain_gallery_is_encrypted_in_place(path: Path) -> None:
    filled(path, key=None)
    with Gallery(path) as gallery:
        gallery.encrypt(KEY)
        assert in_clear(path.parent) == 0
        assert everyone_is_known(gallery)
        with pytest.raises(GalleryError, match="is encrypted already"):
            gallery.encrypt(OTHER_KEY)
        gallery.enroll("dan", TEMPLATES[0], PICTURES[0])
    with Gallery(path, key=KEY) as gallery:
        assert everyone_is_known(gallery)
        assert gallery.forget("dan").pictures == 1
    assert in_clear(path.parent) == 0


def test_a_gallery_is_encrypted_a_few_rows_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and probes need not fit in memory, and none is passed over."""
    sealed_at_once: list[int] = []
    execute = sa.Connection.execute

    def counted(self: sa.Connection, statement: Any, rows: Any = None, **options: Any) -> Any:
        if isinstance(rows, list) and isinstance(statement, sa.Update):
            sealed_at_once.append(len(rows))
        return execute(self, statement, rows, **options)

    monkeypatch.setattr(sealing, "_SEALED_AT_ONCE", 2)
    filled(path, key=None)
    with Gallery(path) as gallery:
        stranger = decide_identify([], Rule(1.1))
        for picture in PICTURES:
            Ledger(gallery).record("identify", stranger, probe=picture, keep_probe_days=9)
        monkeypatch.setattr(sa.Connection, "execute", counted)
        gallery.encrypt(KEY)
        assert sealed_at_once == [2, 1, 2, 1]
        assert in_clear(path.parent) == 0
        assert everyone_is_known(gallery)
        assert [Ledger(gallery).probe(number) for number in (1, 2, 3)] == PICTURES


def test_one_who_opened_it_before_it_was_encrypted_writes_nothing_in_clear(path: Path) -> None:
    filled(path, key=None)
    with Gallery(path) as early, Gallery(path) as gallery:
        assert everyone_is_known(early)
        gallery.encrypt(KEY)
        uses = (
            lambda: early.enroll("dan", TEMPLATES[0], PICTURES[0]),
            lambda: early.search(TEMPLATES),
            lambda: early.templates_of("ada"),
            lambda: early.forget("ada"),
        )
        for use in uses:
            with pytest.raises(GalleryError, match="was encrypted after it was opened. Open it again, with its key"):
                use()
        assert gallery.names() == NAMES
        assert in_clear(path.parent) == 0


def test_a_kill_while_it_is_encrypted_changes_nothing(path: Path) -> None:
    filled(path, key=None)
    killed_midway(path, f"gallery.encrypt({KEY!r})", "UPDATE gallery SET key_check")
    with Gallery(path) as gallery:
        assert everyone_is_known(gallery)
        gallery.encrypt(KEY)
    assert in_clear(path.parent) == 0


def test_after_a_kill_what_was_in_clear_is_erased_by_the_next_to_open_it(path: Path) -> None:
    filled(path, key=None)
    killed_midway(path, f"gallery.encrypt({KEY!r})", "VACUUM")
    assert in_clear(path.parent) > 0, "nothing was left to erase"
    with Gallery(path, key=KEY) as gallery:
        assert in_clear(path.parent) == 0
        assert everyone_is_known(gallery)


def test_the_key_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.environment_key() is None
    file = tmp_path / "gallery.key"
    made = keys.make_key_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(GalleryError, match=r"gallery\.key cannot be made: File exists"):
        keys.make_key_file(file)
    monkeypatch.setenv("FIRSTSIGHT_KEY_FILE", str(file))
    assert keys.environment_key() == made
    monkeypatch.setenv("FIRSTSIGHT_KEY", KEY.hex())
    assert keys.environment_key() == KEY


@pytest.mark.parametrize("text", ["", "secret", "zz" * 32, "00" * 31, "00 " * 32])
def test_what_is_no_key_is_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gallery.key"
    file.write_text(text)
    with pytest.raises(GalleryError, match=r"gallery\.key holds no key: 64 hexadecimal digits are needed") as refused:
        keys.key_in_file(file)
    assert not text or text not in str(refused.value)
    with pytest.raises(GalleryError, match=r"gone\.key cannot be read: No such file .*gallery encrypt --key-file"):
        keys.key_in_file(tmp_path / "gone.key")


def test_without_cryptography_the_line_to_type_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingExtra, match=r'not installed\. Type: pip install "firstsight\[encryption\]"'):
        Gallery(path, key=KEY)
    assert not path.exists()
    filled(path, key=None)


def test_a_handle_from_before_writes_nothing_in_clear(path: Path, tmp_path: Path) -> None:
    """Another process encrypts the empty gallery: who has opened it before neither imports nor records into it."""
    with Gallery(tmp_path / "other.sqlite") as other:
        other.bind_model(pixel_model("tiny"))
        other.enroll("ada", random_templates(1)[0])
        export_lines(other, tmp_path / "ada.jsonl")
    with Gallery(path) as early:
        stranger = decide_identify([], Rule(1.0))
        before = Ledger(early).record("identify", stranger, probe=b"a probe in clear", keep_probe_days=9).id
        with Gallery(path, key=KEY) as encrypted:
            assert Ledger(encrypted).probe(before) == b"a probe in clear"
        uses = (
            lambda: import_lines(tmp_path / "ada.jsonl", early),
            lambda: Ledger(early).record("identify", stranger, probe=b"another in clear", keep_probe_days=9),
            lambda: Ledger(early).probe(before),
        )
        for use in uses:
            with pytest.raises(GalleryError, match="was encrypted after it was opened"):
                use()
    held = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))
    assert b"in clear" not in held


def test_an_export_replaces_nothing_unasked(path: Path, tmp_path: Path) -> None:
    filled(path, key=None)
    with Gallery(path) as gallery:
        for force in (False, True):
            with pytest.raises(GalleryError, match="is the gallery itself"):
                export_lines(gallery, path, force=force)
        assert export_lines(gallery, tmp_path / "out.jsonl").templates
        with pytest.raises(GalleryError, match="is there already. Name another file, or replace it with --force"):
            export_lines(gallery, tmp_path / "out.jsonl")
        assert export_lines(gallery, tmp_path / "out.jsonl", force=True).templates
