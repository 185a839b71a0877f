"""What comes next is one entry: a method, a slider, a network and two tasks, added at run time.

Through the public registries alone; the page, HTTP, the command line and reports offer them, and
what was measured of the shipped versions stays.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence

import pytest
import torch
from conftest import TinyCNN, noise
from fastapi import FastAPI
from PIL import Image
from servers import encoded, plain_server, send

from maskexplain import cli, open_model
from maskexplain.api import make_router, predict_image
from maskexplain.cli.pictures import add_explain
from maskexplain.data.folder import csv_beside, list_pictures
from maskexplain.data.samples import write_examples
from maskexplain.explain.explain import Question, Way, all_ways, default_way
from maskexplain.explain.methods import METHODS, Attribution, Case, method
from maskexplain.explain.report import Subject, reports
from maskexplain.explain.verdicts import track_record
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import list_versions, write_weights
from maskexplain.models.network import NETWORKS, NetworkError, build_network, check_network, network
from maskexplain.models.version import Model
from maskexplain.results.scores import evaluate
from maskexplain.task import Task, TaskError, task_of_names
from maskexplain.web.compare.view import compare_views
from maskexplain.web.page import build_page
from maskexplain.web.photo.view import photo_views
from maskexplain.web.what_if.changes import SLIDERS, Changes, Slider, apply, register
from maskexplain.web.what_if.view import show, take

TWO = task_of_names(["mask_off", "mask_on"])
FIVE = task_of_names(["cup", "book", "lamp", "chair", "shoe"], faces=False)


@pytest.fixture
def grown() -> Iterator[None]:
    """The additions, taken back afterwards."""

    @method("Flat light", "The same heat everywhere.", cost="fast")
    def flat_light(case: Case) -> Attribution:
        return Attribution(torch.ones_like(case.activations[:, :1]))

    register(
        Slider(
            key="fog",
            title="Fog",
            info="Percent of fog",
            low=0,
            high=100,
            neutral=0,
            unit="%",
            moved=("the fog falls to {}", "the fog rises to {}"),
            edit=lambda crop, percent: Image.blend(
                crop, Image.new("RGB", crop.size, "white"), percent / 100
            ),
        )
    )
    network("grown")(TinyCNN)
    yield
    METHODS.pop("flat_light", None)
    SLIDERS.pop("fog", None)
    NETWORKS.pop("grown", None)


def model_of(task: Task, name: str) -> Model:
    torch.manual_seed(len(task))
    return Model(name, build_network("grown", len(task)), task)


@pytest.fixture
def models(grown) -> list[Model]:
    """A shipped version, one of two classes, and one of five classes without faces."""
    return [open_model(list_versions()[-1]), model_of(TWO, "two"), model_of(FIVE, "five")]


def test_the_page_offers_them(models, tmp_path):
    page = build_page(models, write_examples(tmp_path, whole=True)[:1])
    config = json.dumps(page.get_config_file(), default=str)
    assert "Flat light" in config and "whatif-fog" in config and "Percent of fog" in config
    for title in ("Mask off", "Mask on", "Cup", "Shoe", MASK.classes[0].title):
        assert title in config
    page.close(verbose=False)


def test_a_page_of_things_alone_speaks_of_no_face(models, tmp_path):
    page = build_page(models[2:], write_examples(tmp_path, whole=True)[:1])
    parts = page.get_config_file()["components"]
    shown = json.dumps([p for p in parts if p["props"].get("visible", True)], default=str)
    assert "What does this picture show" in shown
    for words in (
        "Use the whole picture as the face",
        "public-domain portrait",
        "shortcut",
        "every face",
    ):
        assert words not in shown, words
    page.close(verbose=False)


def test_http_offers_and_answers_them(models):
    app = FastAPI()
    app.include_router(make_router(models))
    description = json.dumps(app.openapi())
    assert "flat_light" in description and "mask_off" in description and "lamp" in description
    with plain_server(make_router(models)) as client:
        picture = encoded(noise(3, (300, 200)))
        reply = send(client, "/explain", picture, model="five", method="flat_light").json()
        assert list(reply["probabilities"]) == list(FIVE.names) and reply["faces"] == []
        assert reply["explanation"]["method"] == "flat_light"
        face = send(client, "/predict", model="two").json()
        assert set(face["probabilities"]) == set(TWO.names)
        wrong = send(client, "/explain", model="two", target="lamp")
        assert wrong.status_code == 422 and "mask_off, mask_on" in wrong.json()["detail"]


def test_the_command_line_offers_and_answers_them(models, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_explain(parser)
    assert "flat_light: The same heat everywhere." in " ".join(parser.format_help().split())
    weights = tmp_path / "five.safetensors"
    write_weights(weights, models[2].network, "grown", FIVE, half=False)
    noise(1, (80, 60)).save(tmp_path / "thing.png")
    arguments = [str(tmp_path / "thing.png"), "--model", str(weights), "--json"]
    assert cli.main(["predict", *arguments]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]["five"]
    assert list(answer["probabilities"]) == list(FIVE.names)
    out = ["--out", str(tmp_path / "out"), "--method", "flat_light", "--target", "shoe"]
    assert cli.main(["explain", *arguments, *out]) == 0
    facts = json.loads((tmp_path / "out" / "thing.json").read_text())["five"]
    assert facts["explanations"][0]["target"] == "shoe"


def test_a_report_holds_every_version_with_its_own_classes(models, portrait):
    face = portrait.crop((175, 142, 361, 328))
    subject = Subject(face, None, portrait)
    *_, last = reports(models, subject, Question(ways=("best", "flat_light")))
    assert [set(r.answer.prediction.probabilities) for r in last] == [
        set(MASK.names),
        set(TWO.names),
        set(FIVE.names),
    ]
    assert [report.crop.size for report in last] == [face.size, face.size, portrait.size]
    assert all(report.ways[-1] == Way("flat_light") for report in last)
    assert all(len(report.trust) == len(report.ways) for report in last)
    asked = Question("mask_on", ways=("flat_light",))
    *_, last = reports(models, subject, asked)
    assert last[1].answer.explanations[0].target == "mask_on"
    assert last[0].answer.explanations[0].target == last[0].answer.prediction.label


def test_the_tabs_show_them_side_by_side(models, portrait):
    *_, photo = photo_views(models, portrait, question=Question(ways=("flat_light",)))
    assert (photo.heat + photo.others).count("<b>Flat light</b>") == 3
    shown = photo.lead + photo.others
    assert all(title in shown for title in ("Mask off", "Lamp", "Worn correctly"))
    *_, compared = compare_views(models, portrait)
    assert "They answer different questions" in compared.said and "Cup" in compared.table
    taken = take(models, portrait)
    plain, foggy = (show(models, taken, Changes.of(fog=fog)) for fog in (0, 80))
    assert "fog 80%" in foggy.face and plain.face != foggy.face
    assert apply(taken.sitter, Changes.of(fog=100)).getextrema() == ((255, 255),) * 3


FACE = re.compile(r".{0,40}\b([Ff]aces?|nose|masks?)\b.{0,40}", re.DOTALL)


def spoken(html: Sequence[str]) -> str:
    """What people read or hear of a page's parts."""
    whole = re.sub(r"<style.*?</style>", "", "".join(html), flags=re.DOTALL)
    heard = re.findall(r'(?:alt|title|aria-label|placeholder)="([^"]*)"', whole)
    return "\n".join([re.sub(r"<[^>]*>", " ", whole), *heard])


def test_without_faces_there_is_nothing_to_find(models):
    things = noise(5, (400, 300))  # no face in it
    *_, view = photo_views(models[2:], things)
    assert "Cup" in view.lead and view.choice.notice == "The whole picture is answered."
    *_, compared = compare_views(models[2:], things)
    assert "tested on this picture" in compared.table and "test faces" not in compared.table
    taken = take(models[2:], things)
    assert taken.notice == "Move a slider: every version answers anew."
    changed = show(models[2:], taken, Changes.of(turn=20, blur=20))
    html = [view.spoken, view.lead, view.heat, view.tested, view.more, view.others]
    html += [compared.said, compared.table, changed.face, changed.cards]
    told = spoken(html)
    assert "Cup" in told and "over the changed picture" in told
    assert not FACE.search(told), FACE.search(told)
    assert predict_image(models[2], things).faces == []


def test_shipped_measurements_stay(models):
    shipped = models[0]
    default = default_way(shipped)
    assert shipped.results.explanations.of(default.key) is not None
    assert track_record(shipped, default) is not None
    assert track_record(shipped, Way("flat_light")) is None, "not measured yet"
    assert "flat_light" in all_ways()


def test_a_folder_of_five_classes_is_evaluated(grown, tmp_path):
    for index, name in enumerate(FIVE.names):
        (tmp_path / "things" / name).mkdir(parents=True)
        for copy in range(2):
            noise(10 * index + copy, (40, 40)).save(tmp_path / "things" / name / f"{copy}.png")
    folder = tmp_path / "things"
    pictures = list_pictures(folder, csv_beside(folder), FIVE)
    results = evaluate(build_network("grown", 5), FIVE, pictures)
    assert results.pictures == 10 and list(results.per_class) == list(FIVE.names)
    assert results.painted is None, "masks are painted for the mask task alone"


def test_tasks_travel_in_the_weights_file(models, tmp_path):
    for model in models[1:]:
        write_weights(
            tmp_path / f"{model.name}.safetensors", model.network, "grown", model.task, False
        )
        assert open_model(model.name, folder=tmp_path).task == model.task
    with pytest.raises(TaskError, match="needs 2 to 20 classes"):
        task_of_names(["alone"])
    with pytest.raises(TaskError, match="same name"):
        task_of_names(["one", "one"])
    assert len({one.colour for one in task_of_names([f"c{n}" for n in range(20)]).classes}) == 20


def test_a_network_without_the_contract_gets_a_sentence(grown):
    bare = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    with pytest.raises(NetworkError, match="has no `transform`"):
        check_network(bare, "bare", 2)
    with pytest.raises(NetworkError, match="N x 3"):
        check_network(TinyCNN(2), "tiny", 3)
    check_network(TinyCNN(2), "tiny", 2)
