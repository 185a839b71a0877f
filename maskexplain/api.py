"""The HTTP API, as FastAPI routes for the page's own port.

POST /predict, POST /explain, GET /models, GET /healthz, and their description at GET /docs and
GET /openapi.json. Credentials, the declared size and the number of requests in the house are
checked before a body is read. Pictures are neither logged nor kept: an upload over 1 MB lies in a
nameless temporary file until its request ends.

/docs is a page of our own, because FastAPI's loads its script from another server.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from html import escape
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.security.http import HTTPBase
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.types import Message, Receive

from .answer import MaskModel, Prediction
from .draw import overlay, png_bytes
from .explain import METHODS, ExplainError, Explanation, explain
from .images import ImageError, read_image
from .model import CLASSES
from .photo import NoFaceError, Subjects, find_subjects

MAX_BODY = 20 * 2**20  # bytes, the whole request; the page takes files of the same size
UPLOAD_SECONDS = 30.0
WORKERS = 2  # requests worked on at once, as in the page's queue
LIMIT = 64  # requests in the house: the last one waits a second or two
RETRY_SECONDS = 2

Label = Literal[CLASSES]
Method = Literal[tuple(METHODS)]

# --- what is answered

EXAMPLE_ANSWER = {
    "prediction": "with_mask",
    "confidence": 97.31,
    "probabilities": {"mask_weared_incorrect": 0.0211, "with_mask": 0.9731, "without_mask": 0.0058},
}
EXAMPLE = {
    "model": "v2",
    **EXAMPLE_ANSWER,
    "faces": [{"box": [158.2, 117.9, 371.4, 350.6], "score": 0.9402, **EXAMPLE_ANSWER}],
}
EXAMPLE_EXPLANATION = {
    "method": "integrated_gradients",
    "target": "with_mask",
    "heatmap_png": "iVBORw0KGgo...",
    "overlay_png": "iVBORw0KGgo...",
    "completeness_gap": 0.0004,
}


def _example(value: dict) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class Answer(BaseModel):
    prediction: Label = Field(description="The most likely class.")
    confidence: float = Field(description="Its probability in percent, 0 to 100.")
    probabilities: dict[str, float] = Field(description="Every class's probability, 0 to 1.")


class FaceAnswer(Answer):
    box: tuple[float, float, float, float] = Field(
        description="x0, y0, x1, y1 in pixels of the upright picture, whose long side is shrunk "
        "to 1600 where it is larger."
    )
    score: float = Field(description="How sure the face finder is, 0 to 1.")


class PredictReply(Answer):
    model_config = _example(EXAMPLE)
    model: str = Field(description="The version that answered.")
    faces: list[FaceAnswer] = Field(
        description="Largest first; the first one's answer stands at the top too. Empty where the "
        "whole picture was taken as the face."
    )


class ExplanationReply(BaseModel):
    method: Method
    target: Label = Field(description="The class that is explained.")
    heatmap_png: str = Field(
        description="Base64 of a gray 8-bit PNG of the crop's size: what speaks for the class, "
        "scaled to its peak; black where nothing does."
    )
    overlay_png: str = Field(
        description="Base64 of an RGB PNG, 320 pixels on the long side: the heat over the face."
    )
    completeness_gap: float | None = Field(
        description="Integrated gradients: how far the attributions miss the logit's difference "
        "from the baseline, as a part of it; 0 at best. Null for Grad-CAM."
    )


class ExplainReply(PredictReply):
    model_config = _example({**EXAMPLE, "explanation": EXAMPLE_EXPLANATION})
    explanation: ExplanationReply = Field(description="Of the answer at the top.")


class ModelInfo(BaseModel):
    name: str
    balanced_accuracy: float | None = Field(description="On the test split, 0 to 1.")
    dark_35: float | None = Field(
        description="The same on un-augmented faces with 35% of their light, 0 to 1."
    )


class ModelsReply(BaseModel):
    model_config = _example(
        {
            "newest": "v2",
            "models": [{"name": "v2", "balanced_accuracy": 0.9616, "dark_35": 0.5907}],
        }
    )
    newest: str = Field(description="The version that answers where none is asked for.")
    models: list[ModelInfo] = Field(description="The versions served, with measured results.")


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Problem(BaseModel):
    model_config = _example({"detail": "The picture's file is empty: choose or send it again."})
    detail: str = Field(description="One sentence: what is wrong, and what to do.")


# --- the work


def predict_picture(model: MaskModel, file: BinaryIO, whole: bool = False) -> PredictReply:
    """Answer every face of a picture file; `whole` takes the picture itself as the face.

    Raises ImageError and NoFaceError.
    """
    subjects = find_subjects(read_image(file), whole)
    return PredictReply(**_answers(model, subjects, model.predict(subjects.images)))


def explain_picture(
    model: MaskModel,
    file: BinaryIO,
    method: str = "grad_cam",
    target: str | None = None,
    whole: bool = False,
) -> ExplainReply:
    """Answer as `predict_picture` does and explain the largest face's `target`.

    None is the predicted class. Raises ImageError, NoFaceError and ExplainError.
    """
    subjects = find_subjects(read_image(file), whole)
    predictions = model.predict(subjects.images)
    crop = subjects.images[0]
    explanation = explain(model, crop, method, target or predictions[0].label)
    return ExplainReply(
        **_answers(model, subjects, predictions),
        explanation=ExplanationReply(
            method=explanation.method,
            target=explanation.target,
            heatmap_png=_base64_png(gray_heat(explanation)),
            overlay_png=_base64_png(overlay(crop, explanation)),
            completeness_gap=explanation.completeness_gap,
        ),
    )


def gray_heat(explanation: Explanation) -> Image.Image:
    """The positive heat as a gray picture of the crop's size, 255 at its peak."""
    heat = np.clip(explanation.heatmap, 0, None)
    scaled = heat * (255 / heat.max()) if heat.max() > 0 else heat
    return Image.fromarray(scaled.round().astype(np.uint8))


def list_models(models: Sequence[MaskModel]) -> ModelsReply:
    """The versions, the newest last, with the results that were measured for them."""
    infos = [
        ModelInfo(
            name=model.name,
            balanced_accuracy=model.results.get("balanced_accuracy"),
            dark_35=model.results.get("shifts", {}).get("dark_35", {}).get("balanced_accuracy"),
        )
        for model in models
    ]
    return ModelsReply(newest=models[-1].name, models=infos)


def _answers(model: MaskModel, subjects: Subjects, predictions: Sequence[Prediction]) -> dict:
    # Where the whole picture is the face there is one prediction and no face.
    faces = [
        {"box": [round(side, 2) for side in face.box], "score": face.score, **_answer(prediction)}
        for face, prediction in zip(subjects.faces, predictions, strict=False)
    ]
    return {"model": model.name, **_answer(predictions[0]), "faces": faces}


def _answer(prediction: Prediction) -> dict:
    return {
        "prediction": prediction.label,
        "confidence": round(100 * prediction.confidence, 4),
        "probabilities": prediction.probabilities,
    }


def _base64_png(image: Image.Image) -> str:
    return base64.b64encode(png_bytes(image)).decode()


# --- who is let in, and how many

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

CREDENTIALS = "This server asks for a user and a password: send them as HTTP basic authentication."
TOO_LARGE = f"The request is over {MAX_BODY // 2**20} MB: send a smaller picture."
TOO_SLOW = f"The upload took over {UPLOAD_SECONDS:.0f} seconds: send a smaller picture."
FULL = "The server is busy: try again in a few seconds."
NO_FILE = "The field file is missing: send the picture as a file in multipart/form-data."


class Guard:
    """Stands before the routes: credentials, size, places; and errors as one sentence.

    Lives on one event loop, so its counter needs no lock.
    """

    def __init__(self, auth: tuple[str, str] | None, limit: int) -> None:
        self._expected = ":".join(auth).encode() if auth else None
        self._limit = limit
        self._inside = 0
        self._workers = asyncio.Semaphore(WORKERS)

    def route_class(self) -> type[APIRoute]:
        """A route whose requests pass this guard before FastAPI reads their body."""
        guard = self

        class GuardedRoute(APIRoute):
            def get_route_handler(self) -> Handler:
                return partial(guard.handle, super().get_route_handler())

        return GuardedRoute

    async def handle(self, handler: Handler, request: Request) -> Response:
        """Let a request through to its handler, or raise HTTPException."""
        if self._expected and not _has(self._expected, request.headers.get("authorization")):
            realm = 'Basic realm="maskexplain", charset="UTF-8"'
            raise HTTPException(401, CREDENTIALS, {"WWW-Authenticate": realm})
        if request.method != "POST":
            return await handler(request)
        _check_length(request.headers.get("content-length", ""))
        with self._place():
            try:
                return await handler(Request(request.scope, BoundedBody(request.receive)))
            except (ImageError, NoFaceError, ExplainError, RequestValidationError) as error:
                raise http_error(error) from error

    async def work(self, request: Request, function: Callable, *args: Any) -> Any:
        """Run a function in a thread, WORKERS at once; not at all for a client that has left."""
        async with self._workers:
            if await request.is_disconnected():
                raise HTTPException(400, "The client is gone.")
            return await run_in_threadpool(function, *args)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._inside >= self._limit:
            raise HTTPException(503, FULL, {"Retry-After": str(RETRY_SECONDS)})
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


class BoundedBody:
    """An ASGI `receive` that ends an upload with HTTPException once it is too large or slow."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = MAX_BODY
        self._deadline = asyncio.get_running_loop().time() + UPLOAD_SECONDS
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:  # from here on it only tells that the client has left
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, TOO_SLOW) from error
        self._left -= len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._left < 0:
            raise HTTPException(413, TOO_LARGE)
        return message


def http_error(
    error: ImageError | NoFaceError | ExplainError | RequestValidationError,
) -> HTTPException:
    """The status and the sentence for what is wrong with a request."""
    if isinstance(error, RequestValidationError):
        return HTTPException(422, _sentence(error.errors()[0]))
    if isinstance(error, ImageError):
        return HTTPException(413 if error.too_large else 400, str(error))
    return HTTPException(422, str(error))


def _sentence(error: dict) -> str:
    field, message = error["loc"][1], error["msg"]  # "body", the field, and maybe a part of it
    if field == "file":
        return NO_FILE
    return f"The field {field} is wrong: {message[0].lower()}{message[1:]}."


def _has(expected: bytes, header: str | None) -> bool:
    scheme, _, encoded = (header or "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    return scheme.lower() == "basic" and secrets.compare_digest(given, expected)


def _check_length(declared: str) -> None:
    if declared.isdecimal() and int(declared[:15]) > MAX_BODY:
        raise HTTPException(413, TOO_LARGE)


# --- the routes

DESCRIPTION = (
    "Answers whether a face wears its mask, and shows why. Every error is JSON with one sentence "
    "in its field detail. Pictures are neither logged nor kept."
)
PROBLEMS = {
    400: "Not a picture that can be read.",
    401: "Credentials are missing or wrong, where the server asks for them (HTTP basic).",
    408: f"The upload took over {UPLOAD_SECONDS:.0f} seconds.",
    413: f"The request is over {MAX_BODY // 2**20} MB, or the picture over 40 megapixels.",
    422: "No face was found, a field is missing, or a version, method or class is unknown.",
    503: "Full: try again after the seconds in Retry-After.",
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}

Picture = Annotated[
    UploadFile,
    File(description="JPEG, PNG, WebP, BMP, TIFF, AVIF, GIF or HEIC; faces or one face's crop."),
]
Whole = Annotated[bool, Form(description="Take the whole picture as the face.")]
MethodField = Annotated[Method, Form(description="How to explain.")]
Target = Annotated[
    # Form fields cannot be null, but they can be left out.
    Label | SkipJsonSchema[None],
    Form(description="The class to explain; the predicted one by default."),
]


def make_router(
    models: Sequence[MaskModel], auth: tuple[str, str] | None = None, limit: int = LIMIT
) -> APIRouter:
    """The routes for these versions (at least one, the newest last).

    `auth` (user, password) covers all of them, /docs and /openapi.json too, but for /healthz:
    whoever watches a server over has no password. `limit`: how many requests may be in the house
    (arriving, waiting or worked on) before the next one gets 503.
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

    router.add_api_route("/healthz", get_health, summary="Health", route_class_override=APIRoute)
    _add_docs(router)
    return router


def _add_work(
    router: APIRouter, guard: Guard, served: dict[str, MaskModel], shown: list[Any]
) -> None:
    newest = list(served)[-1]
    version = Annotated[
        Literal[tuple(served)], Form(description="The version to ask; the newest by default.")
    ]
    problems = _problems(*PROBLEMS)

    @router.post("/predict", summary="Predict", dependencies=shown, responses=problems)
    async def post_predict(
        request: Request, file: Picture, model: version = newest, whole: Whole = False
    ) -> PredictReply:
        """Answer every face of a picture.

        curl -F file=@photo.jpg http://127.0.0.1:7860/predict
        """
        return await guard.work(request, predict_picture, served[model], file.file, whole)

    @router.post("/explain", summary="Explain", dependencies=shown, responses=problems)
    async def post_explain(
        request: Request,
        file: Picture,
        model: version = newest,
        method: MethodField = "grad_cam",
        target: Target = None,
        whole: Whole = False,
    ) -> ExplainReply:
        """Answer every face of a picture and explain the largest one.

        curl -F file=@photo.jpg -F target=with_mask http://127.0.0.1:7860/explain
        """
        args = (served[model], file.file, method, target, whole)
        return await guard.work(request, explain_picture, *args)


def _problems(*statuses: int) -> dict[int, dict[str, Any]]:
    problems = {s: {"model": Problem, "description": PROBLEMS[s]} for s in statuses}
    if 503 in problems:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        problems[503]["headers"] = {"Retry-After": seconds}
    return problems


# --- their description


def _add_docs(router: APIRouter) -> None:
    def describe() -> dict:
        return get_openapi(
            title="Mask explainer", version="1", description=DESCRIPTION, routes=router.routes
        )

    @router.get("/openapi.json", include_in_schema=False)
    def get_description() -> dict:
        return describe()

    @router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def get_docs() -> str:
        return docs_page(describe())


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
        return ", ".join(field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"])
    if "items" in field:
        return f"list of {_type(field['items'])}"
    if "contentMediaType" in field:
        return "file"
    return field.get("const") or field["type"]
