"""The Photo tab and the models' figures in a real browser."""

import json
import re
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
from browser import (
    PATIENCE,
    VERSIONS,
    close,
    needs_browser,
    open_page,
    screenshot,
    upload,
)
from conftest import CLASSES, noise
from PIL import Image, ImageChops
from playwright.sync_api import Locator, Page, expect

from maskexplain.explain.ways import all_ways

pytestmark = needs_browser


def expect_answers(page: Page) -> None:
    """Both versions' cards, with three bars in class order and loaded heatmaps with verdicts."""
    for version in VERSIONS:
        card = page.get_by_role("region", name=f"Version {version}")
        expect(card).to_be_visible(timeout=PATIENCE)
        assert card.locator(".bar code").all_inner_texts() == list(CLASSES)
        percents = [float(t.rstrip("%")) for t in card.locator(".percent").all_inner_texts()]
        assert sum(percents) == pytest.approx(100, abs=0.2)
        # The heatmaps and then the slower tests follow the bars.
        expect(card.locator(".waiting")).to_have_count(0, timeout=PATIENCE)
        maps = card.locator("figure img")
        assert maps.count() in (2, 3), "the version's best, Grad-CAM, integrated gradients"
        for index in range(maps.count()):
            assert maps.nth(index).evaluate("img => img.complete && img.naturalWidth") >= 200
            assert maps.nth(index).get_attribute("alt")
        assert card.locator(".verdict").count() == maps.count()
        assert card.locator("details.trust").count() == maps.count()


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_upload_shows_both_versions(browser, url, portraits, width, dark):
    page = open_page(browser, url, width, dark)
    upload(page, portraits["worn_right"])
    expect_answers(page)
    expect(page.locator("#notice")).to_contain_text("One face found")
    expect(page.locator("#photo-numbered img")).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, "nothing sticks out sideways"
    screenshot(page, f"photo-{width}-{'dark' if dark else 'light'}")
    close(page)


def test_snapshot_from_the_camera(browser, url):
    page = open_page(browser, url)
    page.get_by_role("button", name="Capture from camera").or_(
        page.get_by_label("Capture from camera")
    ).first.click()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()
    page.wait_for_function("[...document.querySelectorAll('video')].some(v => v.videoWidth > 0)")
    page.locator("button[aria-label='capture photo']").click()
    expect_answers(page)
    expect(page.locator("#notice")).to_contain_text("One face found")
    screenshot(page, "snapshot")
    close(page)


def test_an_example_answers_at_a_click(browser, url):
    page = open_page(browser, url)
    page.get_by_role("button", name="Nose out").click()
    expect_answers(page)
    close(page)


def test_another_class_can_be_explained(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect_answers(page)
    before = page.locator("figure img").first.get_attribute("src")
    page.locator("#target").get_by_text("Worn incorrectly").click()
    question = page.locator(".question").first
    expect(question).to_have_text("Why “Worn incorrectly”?", timeout=PATIENCE)
    assert page.locator("figure img").first.get_attribute("src") != before
    expect_answers(page)
    close(page)


def test_the_newest_question_wins(browser, url, portraits):
    """Asked and cleared while older answers are still on their way."""
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect(page.locator(".card").first).to_be_visible(timeout=PATIENCE)
    for label in ("Worn incorrectly", "Worn correctly", "No mask"):
        page.locator("#target").get_by_text(label, exact=True).click()
        page.wait_for_timeout(200)
    question = page.locator(".question").first
    expect(question).to_have_text("Why “No mask”?", timeout=PATIENCE)
    expect_answers(page)
    page.locator("#target").get_by_text("Worn correctly", exact=True).click()
    page.get_by_label("Clear").or_(page.get_by_role("button", name="Remove Image")).first.click()
    expect(page.locator(".card")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(5000)
    assert page.locator(".card").count() == 0, "no older answer brings the face back"
    close(page)


def test_more_ways_to_ask(browser, url, portraits):
    """Occlusion alone, why not that class, with what speaks against it."""
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect_answers(page)
    page.get_by_role("button", name="More ways to ask").click()
    page.locator("#target").get_by_text("No mask").click()
    page.locator("#against").get_by_text("Worn correctly", exact=True).click()
    for way in ("Each version’s best", "Grad-CAM", "Integrated gradients, from gray"):
        page.locator("#ways").get_by_label(way, exact=True).uncheck()
    page.locator("#ways").get_by_label("Occlusion", exact=True).check()
    page.get_by_label("Show what speaks against it, too").check()
    expect(page.locator(".ramp.signed")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("figcaption b")).to_have_text(["Occlusion"] * 2, timeout=PATIENCE)
    question = "Why “No mask”, not “Worn correctly”?"
    expect(page.locator(".question").first).to_have_text(question, timeout=PATIENCE)
    expect(page.locator(".waiting")).to_have_count(0, timeout=PATIENCE)
    page.locator("details.trust summary").first.click()
    expect(page.locator("svg.curves").first).to_be_visible()
    assert "mean probability" in page.locator("svg.curves").first.get_attribute("aria-label")
    screenshot(page, "more-ways")
    close(page)


def test_everything_can_be_downloaded(browser, url, portraits):
    page = open_page(browser, url)
    button = page.get_by_role("button", name="Download everything (zip)")
    button.click()
    expect(page.locator("#zip")).to_contain_text("nothing to download yet", timeout=PATIENCE)
    upload(page, portraits["worn_right"])
    expect_answers(page)
    with page.expect_download(timeout=PATIENCE) as download:
        button.click()
    assert download.value.suggested_filename == "explanation.zip"
    with ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        facts = json.loads(archive.read("face.json"))
        assert list(facts) == list(VERSIONS)
        assert Image.open(BytesIO(archive.read("face.png"))).format == "PNG"
        assert sum(name.endswith(".npy") for name in archive.namelist()) >= 4
    close(page)


def test_a_heatmap_can_be_saved(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect_answers(page)
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Save Grad-CAM of v2")).click()
    assert download.value.suggested_filename.startswith("v2-grad_cam-")
    assert Image.open(download.value.path()).format == "WEBP"
    close(page)


def test_a_slider_wipes_the_heat_off(browser, url, portraits):
    """By keyboard; where it stands, and the focus, are kept while more figures arrive."""
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    slider = page.get_by_role("slider", name="How much heat is shown: Integrated").first
    expect(slider).to_be_visible(timeout=PATIENCE)
    heat = page.locator(".pictures img").first
    slider.press("Home")
    assert _clip(heat) == "inset(0px 100% 0px 0px)", "the face alone"
    expect_answers(page)
    assert slider.input_value() == "0" and _clip(heat) == "inset(0px 100% 0px 0px)"
    assert slider.evaluate("slider => slider === document.activeElement")
    page.keyboard.press("End")
    expect(slider).to_have_value("100")
    assert _clip(heat) == "inset(0px 0% 0px 0px)"
    close(page)


def _clip(picture: Locator) -> str:
    return picture.evaluate("img => getComputedStyle(img).clipPath")


def test_a_second_face_is_picked_by_number_and_by_click(browser, url, portraits, tmp_path):
    bare, masked = (Image.open(portraits[name]) for name in ("bare", "worn_right"))
    both = Image.new("RGB", (900, 600))
    both.paste(bare, (0, 0))
    both.paste(masked.resize((340, 400)), (540, 100))
    both.save(tmp_path / "both.png")
    page = open_page(browser, url)
    upload(page, tmp_path / "both.png")
    expect_answers(page)
    expect(page.locator("#notice")).to_contain_text("2 faces found")
    shown = page.locator(".card").first
    first = shown.get_attribute("style")
    page.locator("#photo-face").get_by_text("2 · ").click()
    expect(shown).not_to_have_attribute("style", first, timeout=PATIENCE)
    second = shown.get_attribute("style")
    picture = page.locator("#photo-numbered img")
    box = picture.bounding_box()
    scale = min(box["width"] / 900, box["height"] / 600)
    left, top = (box["width"] - 900 * scale) / 2, (box["height"] - 600 * scale) / 2
    picture.click(position={"x": left + 265 * scale, "y": top + 240 * scale})
    expect(shown).to_have_attribute("style", first, timeout=PATIENCE)
    assert second != first
    screenshot(page, "two-faces")
    close(page)


def test_bad_pictures_get_a_message(browser, url, tmp_path):
    page = open_page(browser, url)
    (tmp_path / "note.png").write_text("no picture")
    upload(page, tmp_path / "note.png")
    expect(page.locator("#notice")).to_contain_text("not a picture", timeout=PATIENCE)
    close(page)


def test_no_face_offers_the_whole_picture(browser, url, tmp_path):
    noise(3, (640, 480)).save(tmp_path / "noise.png")
    page = open_page(browser, url)
    upload(page, tmp_path / "noise.png")
    expect(page.locator("#notice")).to_contain_text("No face was found", timeout=PATIENCE)
    page.get_by_label("Use the whole picture as the face").check()
    expect_answers(page)
    close(page)


def test_two_visitors_see_their_own_photos(browser, url, portraits):
    pages = [open_page(browser, url) for _ in range(2)]
    for page, name in zip(pages, ("bare", "bare_dim"), strict=True):
        upload(page, portraits[name])
    for page in pages:
        expect_answers(page)
    for page in pages:
        slider = page.get_by_role("slider", name="How much heat is shown").first
        slider.fill("0")  # the face alone
    faces = [page.locator(".pictures").first.screenshot() for page in pages]
    bare, dim = (Image.open(BytesIO(face)).convert("L").resize((16, 16)) for face in faces)
    assert np.mean(bare) > 1.5 * np.mean(dim)
    assert ImageChops.difference(bare, dim).getbbox()
    for page in pages:
        close(page)


def test_the_models_figures_are_shown(browser, url):
    page = open_page(browser, url)
    page.get_by_role("tab", name="About").click()
    table = page.get_by_role("region", name="Measured results")
    expect(table).to_be_visible()
    assert table.locator("tbody tr").count() == 2
    table = page.get_by_role("region", name="Measured explanations")
    expect(table).to_be_visible()
    assert table.locator("tbody tr").count() == 2 * len(all_ways())
    assert table.locator("tbody b").count() == 2, "each version's best way"
    screenshot(page, "about")
    close(page)
