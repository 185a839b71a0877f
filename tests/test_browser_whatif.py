"""The What if tab in a real browser."""

import pytest
from browser import (
    VERSIONS,
    close,
    needs_browser,
    open_page,
    screenshot,
    upload,
    watch,
    watched,
)
from conftest import noise
from playwright.sync_api import Page, expect

pytestmark = needs_browser


def open_tab(page: Page) -> Page:
    page.get_by_role("tab", name="What if").click()
    expect_set(page, "light=100")
    return page


def expect_set(page: Page, setting: str) -> None:
    """The cards show this setting of a slider."""
    cards = page.locator(f"#whatif-cards [data-setting~='{setting}']")
    expect(cards).to_be_visible()


def face(page: Page) -> str:
    return page.locator(".sitter img").get_attribute("src")


def press(page: Page, slider: str, key: str, times: int) -> None:
    handle = page.locator(f"#whatif-{slider} input[type=range]")
    handle.focus()
    for _ in range(times):
        handle.press(key)


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_the_answers_follow_the_slider(browser, url, width, dark):
    page = open_tab(open_page(browser, url, width, dark))
    expect(page.locator("#whatif-notice")).to_contain_text("An example")
    expect(page.locator("#whatif-lessons")).to_contain_text("v2")
    before = face(page), page.locator("#whatif-cards .percent").all_inner_texts()
    press(page, "light", "ArrowLeft", 72)
    expect_set(page, "light=28")
    assert face(page) != before[0]
    assert page.locator("#whatif-cards .percent").all_inner_texts() != before[1]
    assert page.locator("#whatif-cards .card img").count() == len(VERSIONS)
    card = page.get_by_role("region", name="Version v2, what if")
    expect(card.locator(".answer")).to_have_text("Worn incorrectly")
    expect(page.locator("svg.sweep")).to_have_count(len(VERSIONS))
    assert page.locator("svg.sweep").first.get_attribute("aria-label").startswith("Answers of v2")
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, "nothing sticks out sideways"
    screenshot(page, f"whatif-{width}-{'dark' if dark else 'light'}")
    close(page)


def test_on_a_phone_face_and_answers_stay_in_view(browser, url):
    page = open_tab(open_page(browser, url, 390))
    page.locator("#whatif-size").scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    expect(page.locator(".sitter img")).to_be_in_viewport()
    expect(page.locator(".lines")).to_be_in_viewport()
    close(page)


def test_the_curves_belong_to_the_slider_moved_last(browser, url):
    page = open_tab(open_page(browser, url))
    captions = page.locator("#whatif-charts figcaption")
    expect(captions).to_have_count(len(VERSIONS))
    expect(captions.last).to_contain_text("“light”")
    press(page, "turn", "ArrowRight", 3)
    expect(captions.last).to_contain_text("“turn”")
    expect(captions).to_have_count(len(VERSIONS))
    line = page.locator("svg.sweep line.present").first
    before = line.bounding_box()["x"]
    press(page, "turn", "ArrowRight", 20)
    expect_set(page, "turn=23")
    assert line.bounding_box()["x"] > before + 10, "the upright line goes with the slider"
    close(page)


def test_a_painted_mask_changes_the_face_and_reset_takes_it_off(browser, url):
    page = open_tab(open_page(browser, url))
    bare = face(page)
    page.locator("#whatif-mask").get_by_text("Nose out").click()
    caption = page.locator(".sitter figcaption")
    expect(caption).to_contain_text("painted mask nose out, pale blue")
    blue = face(page)
    page.locator("#whatif-colour").get_by_text("Striped").click()
    expect(caption).to_contain_text("striped")
    assert len({bare, blue, face(page)}) == 3
    page.get_by_role("button", name="Reset").click()
    expect(caption).to_contain_text("as it is")
    assert face(page) == bare
    expect(page.locator("#whatif-mask").get_by_label("None")).to_be_checked()
    close(page)


def test_find_the_flip_says_it_and_goes_there(browser, url):
    page = open_tab(open_page(browser, url))
    watch(page, "#whatif-found")
    page.get_by_role("button", name="Find the flip").click()
    found = page.locator("#whatif-found")
    expect(found).to_contain_text("the smallest change of all")
    assert any("Searching" in state["text"] for state in watched(page))
    flips = page.locator("#whatif-flips label")
    sentence = flips.filter(has_text="v2 says “Worn incorrectly” as soon as the light falls")
    expect(sentence).to_have_count(1)
    value = sentence.inner_text().split("%")[0].split()[-1]
    sentence.click()
    expect_set(page, f"light={value}")
    card = page.get_by_role("region", name="Version v2, what if")
    expect(card.locator(".answer")).to_have_text("Worn incorrectly")
    assert page.locator("#whatif-light input[type=range]").input_value() == value
    screenshot(page, "whatif-flip")
    close(page)


def test_the_photo_tabs_picture_is_taken_over(browser, url, portraits, tmp_path):
    page = open_page(browser, url)
    upload(page, portraits["worn_right"])
    expect(page.locator("#notice")).to_contain_text("One face found")
    open_tab(page)
    notice = page.locator("#whatif-notice")
    expect(notice).to_contain_text("Taken over from the Photo tab")
    page.locator("#whatif-mask").get_by_text("Under the chin").click()
    expect(page.locator(".sitter")).to_contain_text("meant for a bare face")
    page.get_by_role("button", name="Another photo").click()
    noise(3, (640, 480)).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png", into="whatif-photo")
    expect(notice).to_contain_text("No face was found")
    expect(page.locator("#whatif-cards .card")).to_have_count(0)
    page.get_by_role("tab", name="Photo").click()
    page.get_by_role("tab", name="What if").click()
    page.wait_for_timeout(2000)
    expect(notice).to_contain_text("No face was found"), "what was given last stays"
    close(page)
