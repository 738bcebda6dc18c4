"""The first thing a newcomer sees, in a browser. `make test` runs this one; `make test-browser` the rest."""

from drawings import SHAPES, by_another_hand, draw


def test_what_is_drawn_once_and_named_is_known_when_it_is_drawn_again(empty, open_page):
    page = open_page(empty.address)
    for name in ("star", "moon"):
        draw(page, SHAPES[name])
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Remember").click()
        page.get_by_text(f"{name} is remembered, from one picture.").wait_for()
    draw(page, by_another_hand(SHAPES["star"]))
    assert page.locator("#answer .name").inner_text() == "star"
    facts = page.locator("#answer dl").inner_text()
    assert all(fact in facts for fact in ("Distance", "The same up to", "Next nearest\nmoon, "))
