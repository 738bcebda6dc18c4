"""What every backend of the gallery must do."""

import threading
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import pixel_model, random_templates

from firstsight.errors import AlreadyEnrolled, GalleryError, NotEnrolled, OtherModel
from firstsight.model_config import GroupRate, OperatingPoint, Step
from firstsight.recognition.copies import Kind, making_copy, newest_identity
from firstsight.recognition.gallery import Gallery

POINT = OperatingPoint(
    threshold=0.9,
    target=0.001,
    accepted=2,
    comparisons=4_000,
    identities=80,
    steps=(Step(size=1, threshold=0.9, bound=0.001), Step(size=40, threshold=0.5, bound=0.001)),
    groups=(GroupRate(group="gate", identities=9, size=1, rate=0.1, low=0.0, high=0.6, bound=0.5),),
)


def names_found(gallery: Gallery, template: torch.Tensor, k: int = 2) -> list[str]:
    return [match.name for match in gallery.search(template[None], k)[0]]


def test_who_is_enrolled_is_found_at_distance_zero(gallery: Gallery) -> None:
    templates = random_templates(3)
    for name, template in zip(("ada", "bob", "cyd"), templates, strict=True):
        gallery.enroll(name, template)
    assert [(found[0].name, found[0].distance) for found in gallery.search(templates)] == [
        ("ada", 0.0), ("bob", 0.0), ("cyd", 0.0),
    ]  # fmt: skip
    assert (len(gallery), gallery.names()) == (3, ["ada", "bob", "cyd"])
    assert torch.equal(gallery.templates_of("bob"), templates[1:2])


def test_an_empty_gallery_finds_nobody(gallery: Gallery) -> None:
    assert gallery.search(random_templates(2)) == [[], []]
    assert (len(gallery), gallery.names()) == (0, [])


def test_distances_are_those_of_the_unit_vectors(gallery: Gallery) -> None:
    templates, probe = random_templates(30), random_templates(1, seed=1)
    gallery.enroll_many([str(i) for i in range(30)], templates)
    x, y = probe.numpy().astype(np.float64), templates.numpy().astype(np.float64)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y, axis=1, keepdims=True)
    expected = {str(i): ((x - y[i]) ** 2).sum() for i in range(30)}
    found = gallery.search(probe, k=30)[0]
    assert [match.name for match in found] == sorted(expected, key=lambda name: expected[name])
    assert [match.distance for match in found] == pytest.approx(sorted(expected.values()), abs=1e-6)


def test_fewer_enrolled_than_asked_for_are_all_given(gallery: Gallery) -> None:
    gallery.enroll_many(["ada", "bob"], random_templates(2))
    assert len(gallery.search(random_templates(1), k=9)[0]) == 2


def test_of_equals_the_first_enrolled_comes_first(gallery: Gallery) -> None:
    same = random_templates(1)
    gallery.enroll_many(["zoe", "ada", "max"], same.repeat(3, 1))
    assert names_found(gallery, same[0], k=2) == ["zoe", "ada"]


def test_a_name_enrolled_twice_is_refused_and_nothing_changes(gallery: Gallery) -> None:
    first, second = random_templates(2)
    gallery.enroll("ada", first)
    with pytest.raises(AlreadyEnrolled, match=r"^ada is enrolled in .* already\. Add a second picture with --add"):
        gallery.enroll("ada", second)
    assert torch.equal(gallery.templates_of("ada"), first[None])


def test_a_second_picture_is_an_explicit_choice(gallery: Gallery) -> None:
    first, second, other = random_templates(3)
    gallery.enroll("ada", first)
    gallery.enroll("bob", other)
    gallery.enroll("ada", second, add=True)
    assert len(gallery) == 2
    assert torch.equal(gallery.templates_of("ada"), torch.stack([first, second]))
    for probe in (first, second):
        assert names_found(gallery, probe) == ["ada", "bob"]  # identities, not templates


def test_many_are_enrolled_all_or_none(gallery: Gallery) -> None:
    gallery.enroll("bob", random_templates(1)[0])
    for names in (["ada", "bob"], ["ada", "ada"], ["ada", " "]):
        with pytest.raises(GalleryError):
            gallery.enroll_many(names, random_templates(2))
        assert gallery.names() == ["bob"]
    gallery.enroll_many([], random_templates(0))
    assert gallery.names() == ["bob"]
    three = random_templates(3, seed=5)
    assert gallery.enroll_many(["ada", "bob", "ada"], three, add=True) == [True] * 3
    again, once = [*three, three[0]], ["ada", "bob", "ada", "bob"]
    assert gallery.enroll_many([*once, "bob"], torch.stack([*again, again[3]]), add=True) == [False] * 3 + [True, False]
    assert (gallery.names(), len(gallery)) == (["bob", "ada"], 2)
    assert [len(gallery.templates_of(name)) for name in ("ada", "bob")] == [2, 3]


def test_more_than_one_query_can_name(gallery: Gallery) -> None:
    names = [f"person {i}" for i in range(12_000)]
    templates = random_templates(12_000, 8)
    gallery.enroll_many(names, templates)
    assert (len(gallery), gallery.names()) == (12_000, names)
    with pytest.raises(AlreadyEnrolled, match="person 11999"):
        gallery.enroll_many(["new", "person 11999"], templates[:2])
    gallery.clear()
    assert (len(gallery), gallery.names(), gallery.search(templates[:1])) == (0, [], [[]])


def test_who_is_forgotten_is_gone_and_may_come_back(gallery: Gallery) -> None:
    ada, bob, other = random_templates(3)
    gallery.enroll("ada", ada, b"a picture")
    gallery.enroll("ada", other, add=True)
    gallery.enroll("bob", bob)
    receipt = gallery.forget("ada")
    assert (receipt.name, receipt.templates, receipt.pictures) == ("ada", 2, 1)
    assert (receipt.gallery, gallery.names(), len(gallery)) == (gallery.where, ["bob"], 1)
    assert names_found(gallery, ada) == ["bob"]
    for method in (gallery.forget, gallery.templates_of):
        with pytest.raises(NotEnrolled, match=r"^ada is not enrolled in "):
            method("ada")
    gallery.enroll("ada", ada)
    assert names_found(gallery, ada) == ["ada", "bob"]


def test_each_picture_has_its_time_its_consent_note_and_whether_it_was_kept(gallery: Gallery) -> None:
    one, two, three = random_templates(3)
    before = datetime.now(UTC).replace(tzinfo=None)
    gallery.enroll("bob", one)
    gallery.enroll("ada", two, b"a picture", consent="signed form 7")
    gallery.enroll("bob", three, b"a picture", add=True, consent="by mail, 2026-11-02")
    held = dict(gallery.enrollments())
    assert list(held) == ["bob", "ada"]
    noted = {name: [(e.picture_kept, e.consent) for e in enrollments] for name, enrollments in held.items()}
    assert noted == {"bob": [(False, None), (True, "by mail, 2026-11-02")], "ada": [(True, "signed form 7")]}
    times = [held["bob"][0].enrolled_at, held["ada"][0].enrolled_at, held["bob"][1].enrolled_at]
    assert before <= times[0] <= times[1] <= times[2] <= datetime.now(UTC).replace(tzinfo=None)


def test_a_receipt_lists_the_copies_in_which_the_forgotten_still_is(gallery: Gallery) -> None:
    def note(kind: Kind, path: str) -> None:
        with making_copy(gallery.storage, kind, path) as made, gallery.storage.reading() as connection:
            made.newest = newest_identity(connection)

    gallery.enroll_many(["ada", "bob"], random_templates(2))
    note("backup", "first.sqlite")
    gallery.enroll("cyd", random_templates(1)[0])
    note("export", "second.jsonl")
    gallery.forget("bob")
    note("backup", "third.sqlite")  # without bob
    note("backup", "first.sqlite")  # written anew: with cyd
    gallery.enroll("dan", random_templates(1)[0])
    for name, held_by in (("dan", []), ("cyd", ["second.jsonl", "third.sqlite", "first.sqlite"])):
        receipt = gallery.forget(name)
        assert [copy.path for copy in receipt.copies] == held_by
        assert all(copy.made_at <= receipt.forgotten_at for copy in receipt.copies)
    assert [copy.kind for copy in receipt.copies] == ["export", "backup", "backup"]


Actions = st.sampled_from(["enroll", "add", "forget", "search", "clear"])
Steps = st.lists(st.tuples(Actions, st.sampled_from("abcd"), st.integers(0, 5)), max_size=15)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=Steps)
def test_any_history_leaves_what_a_dictionary_would_hold(gallery: Gallery, steps) -> None:
    gallery.clear()
    pool = random_templates(6, 16)
    held: dict[str, list[int]] = {}
    for action, name, number in steps:
        if action == "clear":
            gallery.clear()
            held.clear()
        elif action == "forget" and name in held:
            gallery.forget(name)
            del held[name]
        elif action == "add" or (action == "enroll" and name not in held):
            gallery.enroll(name, pool[number], add=action == "add")
            numbers = held.setdefault(name, [])
            numbers += [number] * (number not in numbers)  # what a name has already is not written again
        elif action == "search":
            at_zero = {m.name for m in gallery.search(pool[[number]], k=9)[0] if m.distance == 0}
            assert at_zero == {name for name, numbers in held.items() if number in numbers}
    assert (gallery.names(), len(gallery)) == (list(held), len(held))
    assert all(torch.equal(gallery.templates_of(name), pool[numbers]) for name, numbers in held.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "A name is empty"),
        (" \t", "A name is empty"),
        ("x" * 201, "more than 200 characters"),
        ("a\nb", "do not show"),
        ("a\x00b", "do not show"),
        ("a\u202eb", "do not show"),
        ("a\ud800b", "do not show"),
    ],
)
def test_what_cannot_be_a_name(gallery: Gallery, name: str, message: str) -> None:
    with pytest.raises(GalleryError, match=message):
        gallery.enroll(name, random_templates(1)[0])
    assert gallery.names() == []


@pytest.mark.parametrize("name", ["阿达", "Ada O'Neill", "می‌خواهم", "x" * 200, "a/b", "'; DROP TABLE identities; --"])
def test_what_can_be_a_name(gallery: Gallery, name: str) -> None:
    gallery.enroll(name, random_templates(1)[0])
    assert gallery.names() == [name]
    assert gallery.forget(f" {name} ").name == name


def test_one_name_written_in_two_ways_is_one_name(gallery: Gallery) -> None:
    gallery.enroll("Zoe\u0308 ", random_templates(1)[0])
    assert gallery.names() == ["Zo\u00eb"]
    with pytest.raises(AlreadyEnrolled):
        gallery.enroll("Zo\u00eb", random_templates(1)[0])


def test_templates_of_another_model_are_refused_by_both_names(gallery: Gallery, model) -> None:
    other = pixel_model("other", size=4)
    gallery.bind_model(other)  # nobody is enrolled yet
    gallery.bind_model(model)
    assert (gallery.model_identity, gallery.model_name) == (None, None)
    gallery.enroll("ada", random_templates(1)[0])
    assert (gallery.model_identity, gallery.model_name) == (model.identity, "tiny")
    with pytest.raises(
        OtherModel,
        match=r"templates of the model tiny .* cannot be compared with those of other .*Leave out --model, and",
    ):
        gallery.bind_model(other)
    assert names_found(gallery, random_templates(1)[0]) == ["ada"]  # still bound to the first
    gallery.forget("ada")
    gallery.bind_model(other)
    gallery.enroll("ada", random_templates(1, 16)[0])
    assert gallery.model_identity == other.identity


def test_templates_without_a_model_length_or_direction_are_refused(gallery: Gallery) -> None:
    gallery.enroll("ada", random_templates(1)[0])
    with pytest.raises(GalleryError, match="templates of 64 bytes, not 32"):
        gallery.enroll("bob", random_templates(1, 32)[0])
    with pytest.raises(GalleryError, match="templates of 64 bytes, not 32"):
        gallery.search(random_templates(1, 32))
    with pytest.raises(GalleryError, match="no direction"):
        gallery.enroll("bob", torch.zeros(64, dtype=torch.int8))
    with Gallery("sqlite://") as unbound, pytest.raises(GalleryError, match="No model was bound"):
        unbound.enroll("ada", random_templates(1)[0])


def test_templates_are_counted_whosever_they_are(gallery: Gallery) -> None:
    assert gallery.count_templates() == 0
    for name, add, template in zip(("ada", "bob", "ada"), (False, False, True), random_templates(3), strict=True):
        gallery.enroll(name, template, add=add)
    assert (gallery.count_templates(), len(gallery)) == (3, 2)
    gallery.forget("ada")
    assert gallery.count_templates() == 1


def test_operating_points_are_kept_per_model(gallery: Gallery) -> None:
    assert gallery.operating_point("one") is None
    gallery.set_operating_point(
        "one", OperatingPoint(threshold=1.5, target=0.1, accepted=0, comparisons=1, identities=2)
    )
    gallery.set_operating_point("one", POINT)
    gallery.clear()
    assert gallery.operating_point("one") == POINT
    assert gallery.operating_point("two") is None


def test_threads_may_enroll_and_search_at_once(gallery: Gallery) -> None:
    templates, failures = random_templates(40), []

    def enroll(part: int) -> None:
        try:
            for i in range(part, 40, 4):
                gallery.enroll(str(i), templates[i])
                assert names_found(gallery, templates[i], k=1) == [str(i)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=enroll, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(gallery.names(), key=int) == [str(i) for i in range(40)]
