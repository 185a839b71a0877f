"""The Live tab in a real browser, with a fake camera that shows a moving face."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from browser import (
    PATIENCE,
    VERSIONS,
    close,
    needs_browser,
    open_page,
    screenshot,
)
from conftest import CLASSES
from PIL import Image
from playwright.sync_api import Page, expect

from maskexplain.data.samples import example_pictures
from tools.served import CHROMIUM, QUIET
from tools.viewers import watch_all

pytestmark = needs_browser

ROUNDS = """() => {
  window.rounds = 0;
  let last;
  const look = () => {
    const shown = document.querySelector("#live-shown [data-frame]")?.dataset.frame;
    if (shown && shown !== last) window.rounds++;
    last = shown;
    requestAnimationFrame(look);
  };
  look();
}"""


def open_camera(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()


def expect_live(page: Page) -> None:
    """The person's picture with a box, heat and the three bars."""
    open_camera(page)
    expect(page.locator(".live-marks .box.main")).to_be_visible()
    expect(page.locator(".live-marks img.heat")).to_be_visible()
    expect(page.locator("#live-notice")).to_contain_text("One face: ")
    bars = page.locator("#live-panel .fill")
    names = bars.evaluate_all("bars => bars.map((bar) => bar.dataset.class)")
    assert names == list(CLASSES)


def wait_for_rounds(page: Page, count: int = 5) -> None:
    page.evaluate(ROUNDS)
    page.wait_for_function(f"window.rounds >= {count}")


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_the_camera_is_answered_frame_by_frame(browser, url, width, dark):
    page = open_page(browser, url, width, dark)
    expect_live(page)
    wait_for_rounds(page)
    over = page.locator(".live-marks").bounding_box()
    video = page.locator("#camera video").bounding_box()
    assert over == pytest.approx(video, abs=1), "the marks lie on the picture"
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, "nothing sticks out sideways"
    screenshot(page, f"live-{width}-{'dark' if dark else 'light'}")
    close(page)


def test_the_person_sees_a_mirror(browser, url):
    """Its boxes lie mirrored, too: see test_live.py. What is frozen is no mirror."""
    page = open_page(browser, url)
    expect_live(page)
    for picture in ("#camera video", ".live-marks img.heat"):
        style = page.locator(picture).evaluate("e => getComputedStyle(e).transform")
        assert style == "matrix(-1, 0, 0, 1, 0, 0)"
    close(page)


def test_a_frozen_frame_is_answered_in_photo(browser, url):
    page = open_page(browser, url)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Freeze").click()
    expect(page.locator("#live-notice")).to_contain_text("nothing to freeze")
    expect_live(page)
    page.get_by_role("button", name="Freeze").click()
    expect(page.locator("#photo img")).to_be_visible()
    newest = page.locator("#lead").get_by_role("region", name=f"Version {VERSIONS[-1]}")
    expect(newest).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("One face found")
    page.wait_for_function("location.hash === '#photo'")
    size = page.locator("#photo img").evaluate("img => [img.naturalWidth, img.naturalHeight]")
    assert size == [640, 480]
    close(page)


def test_a_hidden_tab_costs_nothing_and_goes_on_when_seen(browser, url):
    page = open_page(browser, url)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/stream/" in request.url else 0)
    expect_live(page)
    assert sent
    page.get_by_role("tab", name="Photo").click()
    for _ in range(PATIENCE // 2000):  # what is on its way may still come
        sent.clear()
        page.wait_for_timeout(2000)
        if not sent:
            break
    assert not sent, "nobody looks, so nothing is sent"
    page.get_by_role("tab", name="Live").click()
    wait_for_rounds(page)
    close(page)


def test_another_version_can_answer(browser, url):
    page = open_page(browser, url)
    expect_live(page)
    page.locator("#live-version").get_by_text(VERSIONS[0]).click()
    expect(page.locator("#live-record")).to_contain_text(f"{VERSIONS[0]}’s best way")
    wait_for_rounds(page)
    expect(page.locator(".live-marks .box.main")).to_be_visible()
    close(page)


def test_two_viewers_are_both_answered(browser, url):
    pages = [open_page(browser, url) for _ in range(2)]
    for page in pages:
        expect_live(page)
    for page in pages:
        wait_for_rounds(page)
    for page in pages:
        close(page)


TROUBLES = {  # the browser's flags, and what is permitted
    "denied": (["--use-fake-device-for-media-stream", "--deny-permission-prompts"], []),
    "missing": ([], ["camera"]),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_camera_that_does_not_start_is_said_in_the_page(browser, url, trouble):
    """Not permitted, and none there."""
    flags, permitted = TROUBLES[trouble]
    own = browser.browser_type.launch(executable_path=CHROMIUM, args=[*QUIET, *flags])
    page = own.new_context(permissions=permitted).new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.get_by_role("tab", name="Live").click()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()
    expect(page.locator(f"[data-camera=camera] .{trouble}")).to_be_visible()
    expect(page.locator(".camera-trouble p:visible")).to_have_count(1)
    assert not errors, "said in the page, not in the console"
    expect(page.get_by_role("button", name="Click to Access Webcam")).to_be_visible()
    screenshot(page, f"live-{trouble}")
    own.close()


def test_a_page_without_https_says_why_there_is_no_camera(browser, url):
    rule = "--host-resolver-rules=MAP camera.test 127.0.0.1"
    own = browser.browser_type.launch(executable_path=CHROMIUM, args=[*QUIET, rule])
    page = own.new_page()
    page.goto(re.sub(r"127\.0\.0\.1", "camera.test", url))
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("[data-camera=camera] .insecure")).to_be_visible()
    own.close()


def own_browser(browser, *flags: str):
    return browser.browser_type.launch(
        executable_path=CHROMIUM,
        args=[
            *QUIET,
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream" + flags[0],
            *flags[1:],
        ],
    )


def test_another_camera_can_be_chosen(browser, url):
    """Two cameras; the second one is said to look away from the person, as a phone's does."""
    own = own_browser(browser, "=device-count=2")
    page = own.new_context(permissions=["camera"]).new_page()
    page.add_init_script(
        """const own = MediaStreamTrack.prototype.getSettings;
        MediaStreamTrack.prototype.getSettings = function () {
          const found = own.call(this);
          return this.label.includes("1") ? { ...found, facingMode: "environment" } : found;
        };"""
    )
    page.goto(url)
    open_camera(page)
    choice = page.get_by_role("combobox", name="Camera")
    expect(choice.locator("option")).to_have_count(2)
    now = "document.querySelector('#camera video').srcObject.getVideoTracks()[0]"
    style = "getComputedStyle(document.querySelector('#camera video')).transform"
    first = page.evaluate(f"{now}.getSettings().deviceId")
    choice.select_option(index=1)
    page.wait_for_function(f"{now}.getSettings().deviceId !== '{first}'")
    page.wait_for_function(f"{now}.readyState === 'live' && {style} === 'none'")
    wait_for_rounds(page, 2)
    choice.select_option(index=0)
    page.wait_for_function(f"{style} === 'matrix(-1, 0, 0, 1, 0, 0)'")
    own.close()


def test_a_camera_that_was_taken_away_comes_back_when_the_tab_is_seen(browser, url):
    page = open_page(browser, url)
    expect_live(page)
    hide = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    track = "document.querySelector('#camera video').srcObject.getVideoTracks()[0]"
    page.evaluate(hide, True)
    page.wait_for_function(f"!{track}.enabled")
    page.evaluate(f"{track}.stop()")  # as a phone does
    page.evaluate(hide, False)
    page.wait_for_function(f"{track}.readyState === 'live' && {track}.enabled")
    wait_for_rounds(page)
    expect(page.locator("#live-notice")).to_contain_text("One face: ")
    close(page)


def test_a_phone_held_upright(browser, url, tmp_path):
    """Its camera's picture is upright, too: it fills the width, and the face's box lies on it."""
    portrait = example_pictures(whole=True)[0].image.resize((480, 560))
    with open(tmp_path / "upright.mjpeg", "wb") as file:
        for y in range(0, 40, 4):
            picture = Image.new("RGB", (480, 640), (90, 90, 90))
            picture.paste(portrait, (0, y))
            picture.save(file, "JPEG")
    own = own_browser(browser, "", f"--use-file-for-fake-video-capture={tmp_path}/upright.mjpeg")
    phone = {"width": 390, "height": 844}
    context = own.new_context(viewport=phone, permissions=["camera"], has_touch=True)
    page = context.new_page()
    # Browsers crop a fake camera's picture to what is asked for; a phone turns it.
    page.add_init_script(
        """const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = () =>
          own({ video: { width: 480, height: 640 } });"""
    )
    page.goto(url)
    expect_live(page)
    video, box = (page.locator(one).bounding_box() for one in ("#camera video", ".box.main"))
    assert video["height"] / video["width"] == pytest.approx(4 / 3, abs=0.02)
    assert video["width"] > 0.85 * phone["width"]
    assert page.locator(".live-marks").bounding_box() == pytest.approx(video, abs=1)
    assert video["x"] < box["x"] and box["x"] + box["width"] < video["x"] + video["width"]
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    screenshot(page, "live-upright-phone")
    own.close()


def test_eight_viewers_are_all_answered_at_once(browser, url):
    """Nobody waits for a place. Without browsers: eight of them would slow each other down."""
    with ThreadPoolExecutor(1) as pool:  # the browser's event loop is in this thread
        viewers = pool.submit(watch_all, url, 8, 5.0).result()
    assert all(len(viewer.delays) >= 5 for viewer in viewers), [len(v.delays) for v in viewers]
