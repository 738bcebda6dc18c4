"""What a ledger has to learn from: a reservoir of people, and of each a few pictures that an operator vouched for."""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from firstsight.config import Preprocessing
from firstsight.data.files import MemoryFiles
from firstsight.data.identities import PictureSet
from firstsight.data.pictures import read_picture
from firstsight.recognition import rows
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.ledger import Ledger

PEOPLE = 500
CHECK_INS = 8
"""Of each person, beside at most `ENROLLED` pictures of the enrollment: an anchor as the gallery compares with it."""
ENROLLED = 2


@dataclass(frozen=True, eq=False)
class Confirmed:
    """Pictures to learn from and pictures held back, of different people, each an input of the gallery's model.

    `people` counts all who were confirmed with a picture kept, `unfit` the pictures of another size.
    """

    learned: PictureSet
    held_back: PictureSet
    people: int
    unfit: int

    @property
    def held_back_people(self) -> int:
        return len(self.held_back.names)

    def counts(self) -> dict[str, int]:
        return {
            "people": self.people,
            "learned_people": len(self.learned.names),
            "learned_pictures": len(self.learned),
            "held_back_people": len(self.held_back.names),
            "held_back_pictures": len(self.held_back),
            "unfit_pictures": self.unfit,
        }


def confirmed_crops(gallery: Gallery, preprocessing: Preprocessing) -> Confirmed:
    """The pictures kept of matches that an operator confirmed, or corrected to a name, with those of the enrollment.

    However long the ledger, at most `PEOPLE` people and `CHECK_INS` of each are held in memory: uniform samples, drawn
    by digests, so that they are the same each time. So is the half that is held back, whoever comes later: what a
    model is measured on was not learned in an earlier round either.
    """
    chosen, people = _reservoir(gallery)
    ledger = Ledger(gallery)
    pictures: dict[str, dict[str, bytes]] = {name: {} for name in sorted(chosen)}
    unfit = 0
    for name, path, png in (*_enrolled(gallery, chosen), *_probes(ledger, chosen)):
        if _fits(png, preprocessing):
            pictures[name][path] = png
        else:
            unfit += 1
    parts = ({name: own for name, own in pictures.items() if is_held_back(name) == held} for held in (False, True))
    learned, held_back = (_picture_set(gallery.where, part) for part in parts)
    return Confirmed(learned, held_back, people, unfit)


def is_held_back(name: str) -> bool:
    """Whether a person is of the half that is never learned from."""
    return _digest("held back", name) % 2 == 1


def _reservoir(gallery: Gallery) -> tuple[dict[str, list[int]], int]:
    """The entries to take of each person, and how many people there are. The smallest digests of a stream are a
    uniform sample of what is in it, however often each comes."""
    found: dict[str, list[tuple[int, int]]] = {}
    everyone: set[str] = set()
    order: list[tuple[int, str]] = []  # the largest digest of those held first
    for entry in Ledger(gallery).entries(reviewed=True, with_probe=True):
        name = entry.name
        if name is None:
            continue
        if name not in everyone:
            everyone.add(name)
            found[name] = []
            heapq.heappush(order, (-_digest("person", name), name))
            if len(order) > PEOPLE:
                del found[heapq.heappop(order)[1]]
        if name in found:
            heapq.heappush(found[name], (-_digest("entry", str(entry.id)), entry.id))
            if len(found[name]) > CHECK_INS:
                heapq.heappop(found[name])
    return {name: sorted(number for _, number in own) for name, own in found.items()}, len(everyone)


def _enrolled(gallery: Gallery, chosen: Iterable[str]) -> list[tuple[str, str, bytes]]:
    taken = dict.fromkeys(chosen, 0)
    found = []
    with gallery.storage.reading() as connection:
        for batch in rows.stored(connection, gallery.terms.cipher):
            for row in batch:
                if row.picture is not None and taken.get(row.name, ENROLLED) < ENROLLED:
                    taken[row.name] += 1
                    found.append((row.name, f"{row.name}/enrolled {row.id}", row.picture))
    return found


def _probes(ledger: Ledger, chosen: dict[str, list[int]]) -> list[tuple[str, str, bytes]]:
    kept = ((name, number, ledger.probe(number)) for name, numbers in chosen.items() for number in numbers)
    return [(name, f"{name}/entry {number}", png) for name, number, png in kept if png is not None]


def _fits(png: bytes, preprocessing: Preprocessing) -> bool:
    """Whether it is an input of this network, not of one that the gallery had before."""
    picture = read_picture(png)
    channels = 1 if picture.mode == "L" else 3
    return (*picture.size, channels) == (preprocessing.width, preprocessing.height, preprocessing.channels)


def _picture_set(where: str, pictures: dict[str, dict[str, bytes]]) -> PictureSet:
    named = {name: own for name, own in pictures.items() if own}
    content = {path: png for own in named.values() for path, png in own.items()}
    return PictureSet(
        source=where,
        paths=tuple(content),
        labels=tuple(label for label, own in enumerate(named.values()) for _ in own),
        names=tuple(named),
        files=MemoryFiles(where, content),
    )


def _digest(use: str, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{use}: {text}".encode()).digest()[:8])
