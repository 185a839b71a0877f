"""What every tab must keep to: WCAG AA by axe-core, nothing sticking out, one server asked."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import close, needs_browser, open_page, screenshot, upload
from playwright.sync_api import Page, expect

pytestmark = needs_browser
# Width and dark; 768 is a tablet, and a desktop at 200%.
LOOKS = [(1400, False), (1400, True), (390, False), (390, True), (768, False)]


def violations(page: Page) -> list[str]:
    """What axe-core finds, one line a rule, with the first places; WCAG 2.2's target size, too."""
    rules = {"rules": {"target-size": {"enabled": True}}}
    found = Axe().run(page, options=rules).response["violations"]
    return [
        f"{v['impact']} {v['id']}: {[node['target'] for node in v['nodes'][:3]]}" for v in found
    ]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


# Sentences of more than 25 words in what is seen; a command is none.
LONG = r"""() => {
  const found = new Set();
  const parts = "p, li, td, th, caption, small, summary, h1, h2, h3, label";
  for (const part of document.querySelectorAll(parts)) {
    if (!part.checkVisibility() || part.parentElement.closest("p, li, td, summary")) continue;
    const commands = [...part.querySelectorAll("code")].map((code) => code.innerText);
    const text = commands.reduce((rest, code) => rest.replace(code, ""), part.innerText);
    for (const sentence of text.replace(/\s+/g, " ").split(/(?<=[.!?])\s+(?=[A-Z“])/))
      if (sentence.trim().split(" ").length > 25) found.add(sentence);
  }
  return [...found];
}"""

# What is cut off or lies beside its card.
OUTSIDE = """() => {
  const parts = [...document.querySelectorAll(".card *, .compare [role=cell] *")];
  return parts.filter((part) => {
    const card = part.closest(".card, [role=cell]").getBoundingClientRect();
    const own = part.getBoundingClientRect();
    const out = own.right > card.right + 1 || own.left < card.left - 1;
    return out && own.width > 1 && part.checkVisibility();
  }).map((part) => part.className + " " + part.textContent.trim().slice(0, 40));
}"""


# Whether nothing on the page waits for an answer, which Gradio shows faded, or moves any more, but
# for what does so without end.
STILL = """() => {
  const waits = [...document.querySelectorAll(".pending, .waiting")];
  return !waits.some((part) => part.checkVisibility()) && document.getAnimations().every((one) =>
    one.playState === "finished" || one.effect.getComputedTiming().endTime === Infinity);
}"""

# What a tab shows when it is opened after a photo was answered, where that comes from the server.
FILLED = {"Compare": "The picture of the tab Photo.", "What if": "Taken over from the Photo tab"}

# Controls that are lower than a finger needs; a range has a thumb beyond its track.
SMALL = """() => {
  const controls = "button, select, summary, input[type=number], a[download]";
  return [...document.querySelectorAll(controls)].filter((part) => {
    const height = part.getBoundingClientRect().height;
    const known = part.closest("[inert], [aria-hidden=true]");
    return part.checkVisibility() && height > 1 && height < 24 && !known;
  }).map((part) => part.ariaLabel || part.innerText || part.id);
}"""


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_every_tab_can_be_used_by_everyone(browser, url, portraits, width, dark):
    page = open_page(browser, url, width, dark)
    assert page.evaluate(OUTSIDE) == [], "on arrival"
    upload(page, portraits["striped_dim"])
    expect(page.locator("#heat figure")).to_be_visible()
    expect(page.locator(".waiting")).to_have_count(0)
    for title in ("Check it", "How this map", "The other versions", "Other explanations"):
        page.locator("#photo-answer").get_by_role("button", name=title).click()
    expect(page.locator("#maps figure").first).to_be_visible()
    expect(page.locator(".waiting")).to_have_count(0)
    for tab in page.get_by_role("tab").all():
        name = tab.inner_text()
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        if name in FILLED:
            expect(page.get_by_text(FILLED[name])).to_be_visible()
        if name == "About":
            for fold in page.get_by_role("tabpanel").locator("button.label-wrap").all():
                fold.click()
        page.wait_for_function(STILL)
        assert violations(page) == [], name
        assert overflow(page) <= 0, f"{name} sticks out"
        assert page.evaluate(OUTSIDE) == [], name
        assert page.evaluate(LONG) == [], name
        assert page.evaluate(SMALL) == [], name
        screenshot(page, f"{name.lower().replace(' ', '-')}-{width}-{'dark' if dark else 'light'}")
    close(page)


def test_the_keyboard_reaches_what_matters(browser, url, portraits):
    """With Tab alone: the box of a face, a heatmap's slider, its save link, brush and details."""
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect(page.locator("#heat figure")).to_be_visible()
    expect(page.locator(".waiting")).to_have_count(0)
    for title in ("Check it", "The other versions"):
        page.locator("#photo-answer").get_by_role("button", name=title).click()
    expect(page.locator("#photo-answer summary").first).to_be_visible()
    page.locator("body").click(position={"x": 2, "y": 2})
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(e => e.closest('.reveal') ? 'slider' : e.closest('summary') ? 'details' : "
                "e.matches('.card a[download]') ? 'save' : e.matches('canvas') ? 'brush' : "
                "e.matches('.stage button') ? 'box' : e.role || e.tagName)"
                "(document.activeElement)"
            )
        )
    assert {"box", "slider", "details", "save", "brush"} <= reached, reached
    close(page)
