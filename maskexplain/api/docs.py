"""The routes' description: /openapi.json, and /docs as a page of our own."""

import json
from html import escape

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

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
