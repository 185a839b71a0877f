"""The Clip tab in a real browser: a clip in, its timeline, its moments and itself annotated out."""

import pytest
from browser import close, needs_browser, open_page, screenshot, upload, watch, watched
from clips import frame, portraits, write_clip
from playwright.sync_api import Page, expect
from test_browser_look import overflow, violations

from maskexplain.api import MAX_BODY
from maskexplain.video.frames import SENTENCES, open_clip

pytestmark = needs_browser

NOTICE, RESULT = "#clip-notice", "#clip-result .clip"


def open_clip_tab(browser, url: str, width: int = 1400, dark: bool = False) -> Page:
    page = open_page(browser, url, width, dark)
    page.get_by_role("tab", name="Clip").click()
    return page


def shows(page: Page) -> float:
    return page.locator(f"{RESULT} video").evaluate("video => video.currentTime")


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_the_example_is_answered_and_its_moments_are_clicked(browser, url, tmp_path, width, dark):
    page = open_clip_tab(browser, url, width, dark)
    page.get_by_role("button", name="Try the example clip").click()
    expect(page.locator(NOTICE)).to_contain_text("One face in 8.0 s")
    video = page.locator(f"{RESULT} video")
    page.wait_for_function(f"document.querySelector('{RESULT} video').readyState >= 2")
    assert video.evaluate("v => v.src").startswith("blob:")
    assert video.evaluate("v => v.duration") == pytest.approx(8, abs=0.2)
    moment = page.locator(".moments button").nth(1)
    begin = float(moment.get_attribute("data-at"))
    moment.click()
    assert shows(page) == pytest.approx(begin, abs=0.1)
    page.get_by_role("button", name="Frame ›").click()
    assert shows(page) == pytest.approx(begin + 0.15, abs=0.1)
    last = page.locator(".timeline .over-time button").last
    last.focus()
    page.keyboard.press("Enter")
    assert shows(page) == pytest.approx(float(last.get_attribute("data-at")), abs=0.1)
    assert violations(page) == [] and overflow(page) <= 0
    screenshot(page, f"clip-{width}-{'dark' if dark else 'light'}")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the annotated clip").click()
    saved.value.save_as(tmp_path / "annotated.mp4")
    with open_clip(tmp_path / "annotated.mp4", 30) as clip:
        assert len(list(clip)) == 80
    close(page)


def test_a_frame_is_explained_in_photo(browser, url):
    page = open_clip_tab(browser, url)
    page.get_by_role("button", name="Try the example clip").click()
    page.get_by_role("button", name="Explain this frame in full").click()
    expect(page.locator("#photo img")).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("One face found")
    size = page.locator("#photo img").evaluate("img => [img.naturalWidth, img.naturalHeight]")
    assert size == [640, 480]
    close(page)


def test_a_clip_is_stopped_replaced_and_removed(browser, url, tmp_path):
    portrait = portraits()["bare"]
    path = write_clip(tmp_path / "long.webm", [frame(portrait)] * 290, codec="libvpx")
    page = open_clip_tab(browser, url)
    watch(page, "#clip-progress progress", click="#clip-stop")
    upload(page, path, into="clip")
    expect(page.locator(NOTICE)).to_contain_text("Stopped: the first")
    expect(page.locator(f"{RESULT} video")).to_be_visible()
    expect(page.locator("#clip-stop")).to_be_hidden()
    page.locator("#clip").get_by_role("button", name="Clear").click()
    expect(page.locator(NOTICE)).to_contain_text("Give a clip")
    expect(page.locator(RESULT)).to_have_count(0)
    (tmp_path / "bad.mp4").write_bytes(b"no clip at all")
    upload(page, tmp_path / "bad.mp4", into="clip")
    expect(page.locator(NOTICE)).to_contain_text(SENTENCES["unknown"])
    page.locator("#clip").get_by_role("button", name="Clear").click()
    (tmp_path / "large.mp4").write_bytes(bytes(MAX_BODY + 1))
    upload(page, tmp_path / "large.mp4", into="clip")
    expect(page.get_by_role("alert")).to_contain_text("larger than 20 MB. Cut it shorter")
    expect(page.get_by_text("exceed the maximum")).to_have_count(0)
    close(page)


def test_a_removed_clip_does_not_come_back(browser, url, tmp_path):
    portrait = portraits()["bare"]
    path = write_clip(tmp_path / "long.mp4", [frame(portrait)] * 290)
    page = open_clip_tab(browser, url)
    watch(page, "#clip-progress progress", click="#clip [aria-label=Clear]")
    upload(page, path, into="clip")
    assert watched(page)
    expect(page.locator(NOTICE)).to_contain_text("Give a clip")
    page.wait_for_timeout(2000)  # for whatever would come back
    expect(page.locator(NOTICE)).to_contain_text("Give a clip")
    expect(page.locator("#clip-progress progress")).to_have_count(0)
    close(page)
