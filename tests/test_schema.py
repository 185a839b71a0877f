"""Schemathesis over the OpenAPI description: whatever it thinks of, no 500, and as described."""

import schemathesis
from conftest import TinyCNN  # noqa: F401  (registers the tiny network)
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from servers import version

from maskexplain.api import make_router

app = FastAPI(openapi_url=None, docs_url=None)
app.include_router(make_router([version("older", 0), version("newer", 1)]))
schema = schemathesis.openapi.from_asgi("/openapi.json", app)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_a_route(case):
    case.call_and_validate(checks=CHECKS)
