"""Answers as HTML: a card a version, with bars, heatmaps and how far to believe them.

Pictures are `data:` URLs, so that none of them is written to disk to be shown.
"""

from collections.abc import Sequence
from html import escape

from PIL import Image

from .answer import MaskModel, Prediction
from .crops import Crop
from .draw import (
    CLASS_TITLES,
    METHOD_TITLES,
    data_url,
    enlarge,
    overlay,
    overlay_on_photo,
)
from .explain import Explanation, answer_and_explain
from .faithfulness import BlurTest, blur_test, lower_half
from .model import CLASSES
from .tables import SHIFT_TITLES

# The hottest fifth must matter more than this share of the random fifths to be called the reason;
# a heatmap without meaning gets there once in ten pictures.
NEEDED = 18 / 19
# What the probability must fall by for the class to hang on the heat.
MATERIAL = 0.1


def cards(models: list[MaskModel], photo: Image.Image, crop: Crop, target: str | None) -> str:
    """A card a version, side by side; `target` None explains what each version answers.

    `photo` is the picture that the crop was cut from.
    """
    inner = "".join(_card(model, photo, crop, target) for model in models)
    return f'<div class="cards">{inner}</div>{_legend()}'


def _card(model: MaskModel, photo: Image.Image, crop: Crop, target: str | None) -> str:
    answer = answer_and_explain(model, crop.image, target=target)
    tests = blur_test(model, crop.image, answer.explanations)
    maps = "".join(
        _heatmap(model.name, crop.image, explanation, test)
        for explanation, test in zip(answer.explanations, tests, strict=True)
    )
    label = answer.prediction.label
    name = escape(model.name)
    return f"""
<section class="card" aria-label="Version {name}">
  <h3>{name} <span class="answer {label}">{CLASS_TITLES[label]}</span></h3>
  <p class="measured">{_measured(model.results)}</p>
  <div class="top">
    <img src="{data_url(enlarge(crop.image))}" alt="The face as {name} is given it">
    {bars(answer.prediction)}
  </div>
  <div class="maps">{maps}</div>
  {_on_photo(photo, crop, answer.explanations, tests)}
</section>"""


def _on_photo(
    photo: Image.Image, crop: Crop, explanations: Sequence[Explanation], tests: list[BlurTest]
) -> str:
    """The map that hurts most when it is blurred, at its place on the photo."""
    pairs = [(t, e) for t, e in zip(tests, explanations, strict=True) if not e.empty]
    if crop.image.size == photo.size or not pairs:
        return ""
    _, best = max(pairs, key=lambda pair: (pair[0].beaten, -pair[0].hottest))
    title = METHOD_TITLES[best.method]
    url = data_url(overlay_on_photo(photo, crop, best), "jpeg")
    return f"""
<details><summary>{title} on the photo</summary>
  <img src="{url}" alt="The photo with the heat of {title} on the face">
</details>"""


def bars(prediction: Prediction) -> str:
    """The probabilities as bars, in class order and in the classes' colours."""
    return '<div class="bars">' + "".join(_bar(n, prediction) for n in CLASSES) + "</div>"


def _bar(name: str, prediction: Prediction) -> str:
    percent = f"{prediction.probabilities[name]:.1%}"
    chosen = " chosen" if name == prediction.label else ""
    return f"""
<div class="bar{chosen}" role="img" aria-label="{CLASS_TITLES[name]}: {percent}">
  <span class="name">{CLASS_TITLES[name]}<code>{name}</code></span>
  <span class="percent">{percent}</span>
  <span class="track"><span class="fill {name}" style="width:{percent}"></span></span>
</div>"""


def _heatmap(version: str, crop: Image.Image, explanation: Explanation, test: BlurTest) -> str:
    title = METHOD_TITLES[explanation.method]
    url = data_url(overlay(crop, explanation))
    alt = f"{title} of {version} for {CLASS_TITLES[explanation.target]}, over the face"
    verdict, sentence = verdict_of(explanation, test)
    file = f"{version}-{explanation.method}-{explanation.target}.png"
    return f"""
<figure>
  <img src="{url}" alt="{escape(alt)}">
  <figcaption>
    <b>{title}</b> for “{CLASS_TITLES[explanation.target]}”
    <a download="{escape(file)}" href="{url}" aria-label="Save {escape(alt)}">Save</a>
    <p class="verdict {verdict}">{VERDICTS[verdict]}</p>
    <p>{sentence}</p>
  </figcaption>
</figure>"""


VERDICTS = {
    "empty": "Empty: nothing here speaks for this class",
    "holds": "Holds: this class hangs on the heat",
    "leads": "Leads: matters more than chance, but little",
    "doubtful": "Doubtful: no better than chance",
}


def verdict_of(explanation: Explanation, test: BlurTest) -> tuple[str, str]:
    """A key of VERDICTS, and the figures behind it in plain words."""
    if explanation.empty:
        return "empty", "Every place speaks against this class, so there is no heat to show."
    verdict = "doubtful"
    if test.beaten / test.fifths >= NEEDED:
        verdict = "holds" if test.before - test.hottest >= MATERIAL else "leads"
    completeness = ""
    if explanation.completeness_gap is not None:
        completeness = f" Completeness gap {explanation.completeness_gap:.2%}."
    return verdict, (
        f"Blurring the hottest fifth takes this class from {test.before:.0%} to "
        f"{test.hottest:.0%}; random fifths, to {test.random:.0%} (it hurts more than "
        f"{test.beaten} of {test.fifths}). {lower_half(explanation):.0%} of the heat is on the "
        f"lower half.{completeness}"
    )


def _measured(results: dict) -> str:
    if not results:
        return "Never measured: trust nothing here until it is."
    dark = results["shifts"]["dark_35"]["balanced_accuracy"]
    plain = results["shifts"]["unaugmented"]["balanced_accuracy"]
    return (
        f"Balanced accuracy {results['balanced_accuracy']:.2f} on test; on faces as taken "
        f"{plain:.2f}, on the same faces in dim light <strong>{dark:.2f}</strong>."
    )


def _legend() -> str:
    return (
        '<p class="legend"><span>none</span><span class="ramp" aria-hidden="true"></span>'
        "<span>most</span> How much a place speaks for the class, scaled to each map’s peak. "
        "A heatmap shows what this network used, right or wrong.</p>"
    )


def results_table(models: list[MaskModel]) -> str:
    """What was measured of each version, as an HTML table."""
    rows = "".join(_results_row(m) for m in models if m.results)
    shifts = "".join(f"<th>{title}</th>" for title in SHIFT_TITLES.values())
    recalls = "".join(f"<th>{CLASS_TITLES[name]}</th>" for name in CLASSES)
    return f"""
<div class="scroll" tabindex="0" role="region" aria-label="Measured results"><table>
<caption>Test split. Recall with its 95% interval and counts; shifted columns: balanced accuracy
on the same un-augmented faces.</caption>
<thead><tr><th>Version</th><th>Balanced accuracy</th>{recalls}{shifts}</tr></thead>
<tbody>{rows}</tbody></table></div>"""


def _results_row(model: MaskModel) -> str:
    recalls = "".join(_recall_cell(model.results["per_class"][name]) for name in CLASSES)
    shifts = "".join(
        f"<td>{model.results['shifts'][key]['balanced_accuracy']:.3f}</td>" for key in SHIFT_TITLES
    )
    overall = f"{model.results['balanced_accuracy']:.3f}"
    return f"<tr><th>{escape(model.name)}</th><td>{overall}</td>{recalls}{shifts}</tr>"


def _recall_cell(recall: dict) -> str:
    low, high = recall["interval"]
    return (
        f"<td>{recall['recall']:.3f} <small>{low:.2f}–{high:.2f}, "
        f"{recall['right']}/{recall['total']}</small></td>"
    )
