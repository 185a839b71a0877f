"""The routes: which fields they take, which work they call, which errors they list.

Their description is /openapi.json, and /docs as a page of our own.
"""

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, UploadFile
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.security.http import HTTPBase
from pydantic.json_schema import SkipJsonSchema

from ..explain.methods import BASELINES, METHODS
from ..models.version import Model
from .guard import LIMIT, MAX_BODY, Batches, Guard
from .replies import (
    ExplainReply,
    Health,
    ModelsReply,
    PredictReply,
    Problem,
    explain_image,
    list_models,
    prepare_picture,
    to_reply,
)

SEVERAL_FILES = "The form holds several files: send one picture a request."
OTHER_FIELDS = "The form has a field that is not known here: known are {}."
TWICE = "The form has one field twice: send each once."
PROBLEMS = {
    400: "Not a picture that can be read.",
    401: "Credentials are missing or wrong, where the server asks for them (HTTP basic).",
    408: "The upload comes too slowly.",
    413: f"The request is over {MAX_BODY // 2**20} MB, or the picture over 40 megapixels.",
    422: "No face was found, a field is missing, or a version, method or class is unknown.",
    503: "Full: try again after the seconds in Retry-After.",
    507: "The server's disk is full.",
}

Picture = Annotated[
    UploadFile,
    File(description="JPEG, PNG, WebP, BMP, TIFF, AVIF, GIF or HEIC; faces or one face's crop."),
]
Whole = Annotated[bool, Form(description="Take the whole picture as the face.")]
Second = Annotated[
    bool, Form(description="Test the heatmap in a second way, too (ROAD); takes seconds.")
]


def make_router(
    models: Sequence[Model],
    auth: tuple[str, str] | None = None,
    limit: int = LIMIT,
    root_path: str = "",
) -> APIRouter:
    """The routes for these versions (at least one, the newest last).

    `auth` (user, password) covers all of them, /docs and /openapi.json too, but for /healthz:
    whoever watches a server over has no password. `limit`: how many requests may be in the house
    (arriving, waiting or worked on) before the next one gets 503. `root_path` ("/mask"): what a
    proxy puts before the routes' paths; the description says so.
    """
    guard = Guard(auth, limit)
    router = APIRouter(route_class=guard.route_class())
    # Only for the description: the guard has checked before, and FastAPI's own takes ASCII alone.
    scheme = HTTPBase(scheme="basic", scheme_name="HTTPBasic", auto_error=False)
    shown = [Depends(scheme)] if auth else []
    _add_work(router, guard, {model.name: model for model in models}, shown)

    @router.get("/models", summary="Models", dependencies=shown, responses=_problems(401))
    def get_models() -> ModelsReply:
        """The versions served, the newest, and what was measured."""
        return list_models(models)

    def get_health() -> Health:
        """Whether the server runs; needs no credentials."""
        return Health()

    health = {"endpoint": get_health, "route_class_override": APIRoute}
    router.add_api_route("/healthz", summary="Health", **health)
    # Monitors that ask for the head alone.
    router.add_api_route("/healthz", methods=["HEAD"], include_in_schema=False, **health)
    add_docs(router, root_path)
    return router


def _add_work(router: APIRouter, guard: Guard, served: dict[str, Model], shown: list[Any]) -> None:
    newest = list(served)[-1]
    batches = {name: Batches(model, guard) for name, model in served.items()}
    version = Annotated[
        Literal[tuple(served)], Form(description="The version to ask; the newest by default.")
    ]
    labels = dict.fromkeys(name for model in served.values() for name in model.task.names)
    method_field = _choice(METHODS, f"How to explain; by default the version's best. {_methods()}")
    baseline_field = _choice(BASELINES, "Where integrated gradients start; by default the best.")
    target_field = _choice(labels, "The class to explain; the predicted one by default.")
    against_field = _choice(
        labels, "Why not this class instead? The difference of the two is explained."
    )
    problems = _problems(*PROBLEMS)
    checked = [*shown, Depends(_check_form)]

    @router.post("/predict", summary="Predict", dependencies=checked, responses=problems)
    async def post_predict(
        request: Request, file: Picture, model: version = newest, whole: Whole = False
    ) -> PredictReply:
        """Answer every face of a picture.

        curl -F file=@photo.jpg http://127.0.0.1:7860/predict
        """
        asked = served[model]
        prepared = await guard.work(request, prepare_picture, asked, file.file, whole)
        return to_reply(asked, prepared, await batches[model].logits(request, prepared.inputs))

    @router.post("/explain", summary="Explain", dependencies=checked, responses=problems)
    async def post_explain(
        request: Request,
        file: Picture,
        model: version = newest,
        method: method_field = None,
        target: target_field = None,
        against: against_field = None,
        baseline: baseline_field = None,
        whole: Whole = False,
        second_opinion: Second = False,
    ) -> ExplainReply:
        """Answer every face of a picture and explain the largest one.

        curl -F file=@photo.jpg -F method=grad_cam http://127.0.0.1:7860/explain
        """
        asked = (method, target, against, baseline, whole, second_opinion)
        return await guard.work(request, explain_image, served[model], file.file, *asked)


async def _check_form(request: Request) -> None:
    """Raise HTTPException where a field of the form would be left out of the answer."""
    form, known = await request.form(), [p.alias for p in request["route"].dependant.body_params]
    if len(form.getlist("file")) > 1:
        raise HTTPException(422, SEVERAL_FILES)
    if "file" in form and not {*known}.issuperset(form):
        raise HTTPException(422, OTHER_FIELDS.format(", ".join(known)))
    if len(form.multi_items()) > len(form):
        raise HTTPException(422, TWICE)


def _choice(names: Iterable[str], description: str) -> Any:
    """An optional form field with one of these names. It cannot be null, but it can be left out."""
    return Annotated[
        Literal[tuple(names)] | SkipJsonSchema[None],  # type: ignore[misc]
        Form(description=description),
    ]


def _methods() -> str:
    return " ".join(f"{key}: {method.sentence}" for key, method in METHODS.items())


def _problems(*statuses: int) -> dict[int, dict[str, Any]]:
    problems = {s: {"model": Problem, "description": PROBLEMS[s]} for s in statuses}
    if 503 in problems:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        problems[503]["headers"] = {"Retry-After": seconds}
    return problems


DESCRIPTION = (
    "Answers pictures, each face in them or as a whole, and shows why. Every error is JSON with "
    "one sentence in its field detail. Pictures are neither logged nor kept."
)
DOCS_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: HTTP API</title>
<style>
  :root {{ color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }}
  body {{ max-width: 60rem; margin: 0 auto; padding: 1rem; }}
  pre {{ overflow-x: auto; padding: .6rem; border: 1px solid; border-radius: 6px; }}
  dl {{ margin: .3rem 0; }}
  dt {{ overflow-wrap: anywhere; margin-top: .3rem; }}
</style>
<h1>{title}: HTTP API</h1>
<p>{description} For programs: <a href="openapi.json">openapi.json</a>.</p>
{operations}
<h2>Replies</h2>
{replies}
</html>
"""


def add_docs(router: APIRouter, root_path: str = "") -> None:
    """Add /openapi.json and /docs, which describe the router's other routes.

    `root_path` is what a proxy puts before their paths.
    """

    def describe() -> dict:
        return get_openapi(
            title="Mask explainer",
            version="1",
            description=DESCRIPTION,
            routes=router.routes,
            servers=[{"url": root_path}] if root_path else None,
        )

    @router.get("/openapi.json", include_in_schema=False)
    def get_description() -> dict:
        return describe()

    @router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def get_docs() -> str:
        return docs_page(describe())


def docs_page(description: dict) -> str:
    """An OpenAPI description as a page (HTML) that asks no other server for anything."""
    schemas = description["components"]["schemas"]
    operations = [
        _operation_html(f"{method.upper()} {path}", operation, schemas)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    replies = [
        f"<h3>{name}</h3>{_fields_html(schema)}"
        for name, schema in schemas.items()
        if not name.startswith("Body_")
    ]
    info = {key: escape(description["info"][key]) for key in ("title", "description")}
    return DOCS_PAGE.format(**info, operations="\n".join(operations), replies="\n".join(replies))


def _operation_html(name: str, operation: dict, schemas: dict) -> str:
    text, _, command = operation["description"].partition("\n\n")
    parts = [f"<h2>{escape(name)}</h2><p>{escape(text)}</p>"]
    if command:
        parts.append(f"<pre>{escape(command)}</pre>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = _fields_html(schemas[_type(content["schema"])])
        parts.append(f"<h3>Send ({media})</h3>{fields}")
    for status, response in operation["responses"].items():
        kind = _type(response["content"]["application/json"]["schema"])
        if status == "200":
            parts.append(f"<h3>Reply: {kind}</h3>{_example_html(schemas[kind])}")
        else:
            said = escape(response["description"])
            parts.append(f"<dl><dt><b>{status}</b> {kind}<dd>{said}</dl>")
    return "\n".join(parts)


def _example_html(schema: dict) -> str:
    examples = schema.get("examples", [])
    return "".join(f"<pre>{escape(json.dumps(e, indent=1))}</pre>" for e in examples)


def _fields_html(schema: dict) -> str:
    required = schema.get("required", [])
    rows = [
        f"<dt><b>{name}</b> {'' if name in required else '(optional)'} {escape(_type(field))}"
        f"<dd>{escape(field.get('description', ''))}"
        for name, field in schema["properties"].items()
    ]
    return f"<dl>{''.join(rows)}</dl>"


def _type(field: dict) -> str:
    """A field's type in words, or the name of the schema that it refers to."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"])
    if "items" in field:
        return f"list of {_type(field['items'])}"
    if "contentMediaType" in field:
        return "file"
    return field.get("const") or field["type"]
