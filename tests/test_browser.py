"""The Photo tab and the models' figures in a real browser."""

import json
import re
from base64 import b64encode
from io import BytesIO
from zipfile import ZipFile

import numpy as np
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
from PIL import Image, ImageChops
from playwright.sync_api import Locator, Page, expect

from maskexplain.explain.explain import all_ways
from maskexplain.masks.task import MASK
from maskexplain.models.version import open_model
from maskexplain.results.tables import explanation_rows
from tools.bombs import heic

pytestmark = needs_browser


NEWEST = VERSIONS[-1]


def expect_answers(page: Page) -> None:
    """The newest version's answer with its bars, one loaded heatmap and its test; all is there."""
    lead = page.locator("#lead").get_by_role("region", name=f"Version {NEWEST}")
    expect(lead).to_be_visible()
    assert lead.locator(".bar .name").all_inner_texts() == [one.title for one in MASK.classes]
    percents = [float(t.rstrip("%")) for t in lead.locator(".bar .percent").all_inner_texts()]
    assert sum(percents) == pytest.approx(100, abs=0.2)
    # The heatmap and then the slower tests follow the bars.
    expect(page.locator("#photo-answer .waiting")).to_have_count(0)
    heat = page.locator("#heat figure img")
    assert heat.count() == 1
    assert heat.evaluate("img => img.complete && img.naturalWidth") >= 200
    assert heat.get_attribute("alt")
    expect(page.locator("#heat .verdict")).to_contain_text("Test of the map: ")


def open_fold(page: Page, title: str) -> None:
    page.locator("#photo-answer").get_by_role("button", name=title).click()


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_an_upload_is_answered_and_explained(browser, url, portraits, width, dark):
    page = open_page(browser, url, width, dark)
    upload(page, portraits["worn_right"])
    expect_answers(page)
    expect(page.locator("#notice")).to_contain_text("One face found")
    expect(page.locator("#notice .spoken")).to_contain_text(f"{NEWEST} answers: Worn correctly")
    expect(page.locator("#photo-stage .stage button")).to_have_count(1)
    expect(page.locator(".lead h2")).to_be_in_viewport()
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
    before = page.locator("#heat figure img").get_attribute("src")
    open_fold(page, "Other explanations")
    page.locator("#target").get_by_text("Worn incorrectly").click()
    question = page.locator("#heat .question")
    expect(question).to_have_text("Why “Worn incorrectly”?")
    assert page.locator("#heat figure img").get_attribute("src") != before
    expect_answers(page)
    close(page)


def test_the_newest_question_wins(browser, url, portraits):
    """Asked and cleared while older answers are still on their way."""
    page = open_page(browser, url)
    asked = []
    page.on("request", lambda r: asked.append(r.post_data_json) if "/join" in r.url else None)
    upload(page, portraits["bare"])
    expect(page.locator(".lead")).to_be_visible()
    open_fold(page, "Other explanations")
    for label in ("Worn incorrectly", "Worn correctly", "No mask"):
        page.locator("#target").get_by_text(label, exact=True).click()
        page.wait_for_timeout(200)
    question = page.locator("#heat .question")
    expect(question).to_have_text("Why “No mask”?")
    expect_answers(page)
    page.locator("#target").get_by_text("Worn correctly", exact=True).click()
    clear(page)
    expect(page.locator(".lead")).to_have_count(0)
    page.wait_for_timeout(3000)
    assert page.locator(".lead").count() == 0, "no older answer brings the face back"
    moments = [body["data"][0] for body in asked if isinstance(body["data"][0], (int, float))]
    assert len(moments) > 5 and moments == sorted(moments), "the browser says what came first"
    close(page)


# What the server says arrives late, as on a slow line; what it is asked does not.
SLOW_LINE = """
const ask = window.fetch;
const later = (part, out) => new Promise((done) => {
  setTimeout(() => { out.enqueue(part); done(); }, 300);
});
window.fetch = async (...asked) => {
  const answer = await ask(...asked);
  if (!answer.url.includes("/queue/data")) return answer;
  const late = new TransformStream({ transform: later });
  return new Response(answer.body.pipeThrough(late), { headers: answer.headers });
};
"""


def test_an_answer_on_a_slow_line_is_not_lost(browser, url, portraits):
    """Gradio ends the stream of answers when none is to come: one asked for just then was lost."""
    page = open_page(browser, url)
    page.context.add_init_script(SLOW_LINE)
    page.reload()
    for _ in range(3):
        upload(page, portraits["bare"])
        expect(page.locator(".lead")).to_be_visible()
        clear(page)
        expect(page.locator(".lead")).to_have_count(0)
    close(page)


def test_a_break_of_the_line_between_two_questions_is_no_matter(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect_answers(page)
    page.context.set_offline(True)
    page.wait_for_timeout(500)
    page.context.set_offline(False)
    page.locator("#photo-whole").get_by_role("checkbox").check()
    expect(page.locator("#notice")).to_contain_text("whole picture is taken")
    close(page)


def clear(page: Page, photo: str = "photo") -> None:
    page.locator(f"#{photo}").get_by_role("button", name="Remove Image").or_(
        page.locator(f"#{photo}").get_by_label("Clear")
    ).first.click()


# Counts the frames with another photo than now, and those with the present answer beside it.
WATCH = """([photo, answer]) => {
  const first = document.querySelector(photo).src, said = document.querySelector(answer).innerText;
  window.others = window.stale = 0;
  const look = () => {
    const other = document.querySelector(photo)?.src, old = document.querySelector(answer);
    if (other && other !== first) {
      window.others++;
      window.stale += old?.checkVisibility({ visibilityProperty: true }) && old.innerText === said;
    }
    requestAnimationFrame(look);
  };
  look();
}"""


def test_nothing_of_an_answer_outlives_its_photo(browser, url, portraits, tmp_path):
    """A face, no face, an unreadable file, another face, one after another while tests run."""
    page = open_page(browser, url)
    noise(3, (640, 480)).save(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    given = {
        "One face found": portraits["worn_right"],
        "No face was found": tmp_path / "none.png",
        "not a picture": tmp_path / "text.png",
    }
    for notice, path in given.items():
        upload(page, path)
        expect(page.locator("#notice")).to_contain_text(notice)
        faces = int(notice.startswith("One"))
        expect(page.locator(".lead")).to_have_count(faces)
        expect(page.locator(".stage")).to_have_count(faces)
        clear(page)
        expect(page.locator(".arrival")).to_be_visible()
    upload(page, portraits["bare"])
    expect(page.locator(".lead .answer")).to_have_text("No mask")
    page.evaluate(WATCH, ["#photo img", ".lead .answer"])
    page.get_by_role("button", name="Nose out").click()
    expect(page.locator(".lead .answer")).to_have_text("Worn incorrectly")
    expect_answers(page)
    assert page.evaluate("[window.others > 0, window.stale]") == [True, 0]
    page.get_by_role("tab", name="Compare").click()
    answer = page.locator("#compare-table .answer").first
    expect(answer).to_have_text("Worn incorrectly")
    page.evaluate(WATCH, ["#compare-photo img", "#compare-table .answer"])
    page.get_by_role("tabpanel").get_by_role("button", name="No mask", exact=True).click()
    expect(answer).to_have_text("No mask")
    assert page.evaluate("[window.others > 0, window.stale]") == [True, 0]
    close(page)


def test_a_question_that_the_server_refuses_is_said(browser, url, portraits):
    """And the answer to the photo before does not come back."""
    page = open_page(browser, url)
    upload(page, portraits["worn_right"])
    expect(page.locator(".lead .answer")).to_have_text("Worn correctly")
    told = "getComputedStyle(document.querySelector('#photo-answer'), '::before').content"
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "full"}))
    page.get_by_role("button", name="Nose out").click()
    page.wait_for_function(f"{told}.includes('got no answer')")
    expect(page.locator(".lead .answer")).not_to_be_visible()
    page.unroute("**/queue/join*")
    page.get_by_role("button", name="No mask", exact=True).first.click()
    expect(page.locator(".lead .answer")).to_have_text("No mask")
    expect(page.locator(".lead .answer")).to_be_visible()
    close(page)


def test_more_ways_to_ask(browser, url, portraits):
    """Occlusion alone, why not that class, with what speaks against it."""
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect_answers(page)
    open_fold(page, "Other explanations")
    titles = page.locator("#maps figcaption > b")
    expect(titles.first).to_have_text(re.compile("Integrated gradients"))
    page.locator("#target").get_by_text("No mask").click()
    page.locator("#against").get_by_text("Worn correctly", exact=True).click()
    for way in ("Each version’s best", "Grad-CAM", "Integrated gradients, from gray"):
        page.locator("#ways").get_by_label(way, exact=True).uncheck()
    page.locator("#ways").get_by_label("Occlusion", exact=True).check()
    page.get_by_label("Show what speaks against it, too").check()
    expect(page.locator(".ramp.signed")).to_be_visible()
    expect(page.locator("#heat figcaption > b")).to_have_text("Occlusion")
    question = "Why “No mask”, not “Worn correctly”?"
    expect(page.locator("#heat .question")).to_have_text(question)
    expect_answers(page)
    open_fold(page, "How this map was tested")
    expect(page.locator("#tested svg.curves")).to_be_visible()
    assert "mean probability" in page.locator("#tested svg.curves").get_attribute("aria-label")
    screenshot(page, "more-ways")
    close(page)


def test_the_other_versions_are_folded_with_why_they_differ(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["striped_dim"])
    expect_answers(page)
    open_fold(page, "The other versions")
    old = page.locator("#others").get_by_role("region", name=f"Version {VERSIONS[0]}")
    expect(old).to_contain_text("(older; fooled by dim light)")
    expect(old.locator("h2 .answer")).to_have_text("Worn incorrectly")
    expect(page.locator("#others .said")).to_contain_text("With the light turned up, v2 says")
    page.locator("#others").get_by_role("link", name="See all versions side by side").click()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator(".lead")).to_be_visible()
    close(page)


def test_on_arrival_the_light_changes_the_older_versions_answer(browser, url):
    page = open_page(browser, url)
    old, new = (page.locator(f".arrival [data-version={name}] .answer") for name in VERSIONS)
    expect(old).to_have_text("Worn correctly")
    slider = page.locator(".arrival input[type=range]")
    slider.focus()
    for _ in range(13):
        slider.press("ArrowLeft")
    expect(page.locator(".arrival output")).to_have_text("35%")
    expect(old).to_have_text("Worn incorrectly")
    expect(new).to_have_text("Worn correctly")
    close(page)


def test_a_hidden_place_is_answered_beside_what_the_map_foretold(browser, url, portraits):
    """By pointer, by button and by keyboard."""
    page = open_page(browser, url)
    upload(page, portraits["nose_out"])
    expect_answers(page)
    open_fold(page, "Check it yourself")
    canvas = page.locator("#brush canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    hidden = page.locator("#hidden")
    expect(hidden.get_by_role("region")).to_have_count(len(VERSIONS))
    expect(hidden).to_contain_text("of its heat lies there, so its map says")
    page.get_by_role("button", name="Hide the brightest fifth").click()
    expect(hidden).to_contain_text("You hide 20% of the face.")
    newest = hidden.get_by_role("region", name=f"{NEWEST} with places hidden")
    expect(newest).to_contain_text("this matters much")
    screenshot(page, "brush")
    canvas.focus()
    canvas.press("Escape")
    expect(hidden).to_contain_text("paint over the picture")
    canvas.press("ArrowUp")
    canvas.press("Space")
    expect(hidden).to_contain_text("You hide 2% of the face.")
    close(page)


def test_tabs_have_addresses_and_a_reload_keeps_tab_and_answer(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["nose_out"])
    expect(page.locator(".lead .answer")).to_have_text("Worn incorrectly")
    page.wait_for_function("sessionStorage.getItem('maskexplain-photo')")
    page.reload()
    expect(page.locator(".lead .answer")).to_have_text("Worn incorrectly")
    page.get_by_role("tab", name="Photo").focus()
    page.keyboard.press("End")
    about = page.get_by_role("tab", name="About")
    expect(about).to_have_attribute("aria-selected", "true")
    expect(about).to_be_focused()
    for key, name in (("ArrowRight", "Photo"), ("ArrowLeft", "About")):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name)).to_be_focused()
    assert page.url.endswith("#about")
    page.reload()
    expect(about).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.get_by_role("tab", name="Photo")).to_have_attribute("aria-selected", "true")
    clear(page)
    expect(page.locator(".arrival")).to_be_visible()
    page.wait_for_function("!sessionStorage.getItem('maskexplain-photo')")
    close(page)


def test_a_sideways_photo_is_turned_at_a_click(browser, url, portraits, tmp_path):
    lying = Image.open(portraits["nose_out"]).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "lying.png")
    page = open_page(browser, url)
    upload(page, tmp_path / "lying.png")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("The photo lies on its side")
    page.get_by_role("button", name="Turn the photo").click()
    expect(notice).not_to_contain_text("lies on its side")
    expect(page.locator(".lead .answer")).to_have_text("Worn incorrectly")
    expect(page.locator("#photo-turn")).to_have_count(0)
    close(page)


def test_a_refused_camera_is_said_where_it_was_asked_for(browser, url):
    page = open_page(browser, url)
    refusing = "async () => { throw new DOMException('no', 'NotAllowedError'); }"
    page.add_init_script(f"MediaDevices.prototype.getUserMedia = {refusing}")
    page.reload()
    inputs = {"Photo": "photo", "Compare": "compare-photo", "What if": "whatif-photo"}
    for tab, photo in inputs.items():
        page.get_by_role("tab", name=tab).click()
        if tab == "Compare":
            clear(page, photo)  # the example that it begins with
        if tab == "What if":
            page.get_by_role("button", name="Another photo").click()
        page.locator(f"#{photo}").get_by_label("Capture from camera").first.click()
        page.locator(f"#{photo}").get_by_text("Click to Access Webcam").click()
        said = page.locator(".camera-trouble p:visible")
        expect(said).to_contain_text("The camera is blocked")
        expect(said).to_contain_text("Or upload a photo.")
        expect(said).to_have_count(1)
    close(page)


def test_everything_can_be_downloaded(browser, url, portraits):
    """After a second test of the map, which another photo takes away."""
    page = open_page(browser, url)
    upload(page, portraits["nose_out"])
    expect_answers(page)
    open_fold(page, "How this map was tested")
    page.locator("#ask-second").click()
    second = page.locator("#second .verdict")
    expect(second).to_contain_text("Second test of ")
    upload(page, portraits["worn_right"])
    expect(second).to_have_count(0)
    expect_answers(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download everything (zip)").click()
    assert download.value.suggested_filename == "explanation.zip"
    with ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        facts = json.loads(archive.read("face.json"))
        assert sorted(facts) == sorted(VERSIONS)
        assert Image.open(BytesIO(archive.read("face.png"))).format == "PNG"
        assert sum(name.endswith(".npy") for name in archive.namelist()) == len(VERSIONS)
    close(page)


def test_a_heatmap_can_be_saved(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect_answers(page)
    with page.expect_download() as download:
        page.locator("#heat").get_by_role("link", name=re.compile("Save .* of v3")).click()
    assert download.value.suggested_filename.startswith("v3-")
    assert Image.open(download.value.path()).format == "WEBP"
    close(page)


def test_a_slider_wipes_the_heat_off(browser, url, portraits):
    """By keyboard; where it stands, and the focus, are kept while more figures arrive."""
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    slider = page.get_by_role("slider", name="How much heat is shown").first
    expect(slider).to_be_visible()
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


def test_a_second_face_is_picked_by_number_and_by_click(browser, url, two_faces):
    page = open_page(browser, url)
    upload(page, two_faces)
    expect_answers(page)
    expect(page.locator("#notice")).to_contain_text("2 faces found")
    expect(page.locator(".count")).to_contain_text("2 faces: ")
    expect(page.locator(".lead .answer")).to_have_text("No mask")
    page.locator("#photo-face").get_by_text("2 · ").click()
    expect(page.locator(".lead .answer")).to_have_text("Worn correctly")
    boxes = page.locator(".stage button")
    expect(boxes.nth(1)).to_have_attribute("aria-pressed", "true")
    boxes.nth(0).click()
    expect(page.locator(".lead .answer")).to_have_text("No mask")
    expect(boxes.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#photo-face input").first).to_be_checked()
    screenshot(page, "two-faces")
    close(page)


def test_several_photos_get_a_row_each_and_open_at_a_click(browser, url, portraits, tmp_path):
    (tmp_path / "note.png").write_text("no picture")
    page = open_page(browser, url)
    page.get_by_role("button", name="Several photos at once").click()
    given = [portraits["bare"], tmp_path / "note.png", portraits["nose_out"]]
    page.set_input_files("#many-files input[type=file]", given)
    rows = page.locator(".many button")
    expect(rows).to_have_count(3)
    expect(rows.nth(0).locator(".answer")).to_have_text("No mask")
    expect(rows.nth(1)).to_contain_text("not a picture")
    rows.nth(2).click()
    expect(page.locator(".lead .answer")).to_have_text("Worn incorrectly")
    screenshot(page, "several-photos")
    close(page)


def test_several_photos_taken_away_while_they_are_answered(browser, url, portraits, tmp_path):
    page = open_page(browser, url)
    page.get_by_role("button", name="Several photos at once").click()
    given = [tmp_path / f"{index}.png" for index in range(40)]
    for path in given:
        path.write_bytes(portraits["bare"].read_bytes())
    watch(page, ".many button", click="#many-files [aria-label=Clear]")
    other = open_page(browser, url)
    upload(other, portraits["nose_out"])  # whose heatmaps take one of the two places for a while
    page.set_input_files("#many-files input[type=file]", given)
    assert watched(page)
    rows = page.locator(".many button")
    expect(rows).to_have_count(0)
    page.wait_for_timeout(2000)
    assert rows.count() == 0, "no older answer brings the rows back"
    most = max(state["count"] for state in watched(page))
    assert most < len(given), "nobody waits for what is not asked any more"
    close(other)
    close(page)


def test_bad_pictures_get_a_message(browser, url, tmp_path):
    page = open_page(browser, url)
    (tmp_path / "note.png").write_text("no picture")
    upload(page, tmp_path / "note.png")
    expect(page.locator("#notice")).to_contain_text("not a picture")
    close(page)


DROP = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name)); // without a type
  const place = document.querySelector("#photo input[type=file]").closest("button");
  const init = { dataTransfer: data, bubbles: true, cancelable: true };
  place.dispatchEvent(new DragEvent("drop", init));
}"""


@pytest.mark.parametrize("name", ["IMG_0001.HEIC", "photo", "IMG_0001.jpg.download"])
def test_a_picture_without_a_type_can_be_dropped(browser, url, portraits, name):
    content = heic(Image.open(portraits["bare"]).convert("RGB"))
    page = open_page(browser, url)
    page.evaluate(DROP, [b64encode(content).decode(), name])
    expect(page.locator("#notice")).to_contain_text("One face found")
    close(page)


def test_no_face_offers_the_whole_picture(browser, url, tmp_path):
    noise(3, (640, 480)).save(tmp_path / "noise.png")
    page = open_page(browser, url)
    upload(page, tmp_path / "noise.png")
    expect(page.locator("#notice")).to_contain_text("No face was found")
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
    newest = page.get_by_role("region", name=f"About {NEWEST}")
    expect(newest.locator("li")).to_have_count(3)
    expect(newest).to_contain_text("Good at: ")
    for fold in ("All measured results", "How the heatmaps were tested", "The same answers"):
        page.get_by_role("button", name=fold).click()
    expect(page.locator("[data-address]").first).to_have_text(url.rstrip("/"))
    table = page.get_by_role("region", name="Measured results")
    expect(table).to_be_visible()
    assert table.locator("tbody tr").count() == 2
    table = page.get_by_role("region", name="Measured explanations")
    expect(table).to_be_visible()
    rows = [explanation_rows(open_model(version)) for version in VERSIONS]
    assert table.locator("tbody tr").count() == sum(map(len, rows)) > 2 * len(all_ways())
    screenshot(page, "about")
    close(page)
