"""The HTTP API, as FastAPI routes for the page's own port.

POST /predict, POST /explain, GET /models, GET /healthz, and their description at GET /docs and
GET /openapi.json. Credentials, the declared size and the number of requests in the house are
checked before a body is read. Predictions that wait for the same version are made in one batch,
and a client that leaves ends its explanation. Pictures are neither logged nor kept: an upload over
1 MB lies in a nameless temporary file until its request ends.

/docs is a page of our own, because FastAPI's loads its script from another server.
"""

from .guard import MAX_BODY
from .replies import explain_image, list_models, predict_image
from .routes import make_router

__all__ = [
    "MAX_BODY",
    "explain_image",
    "list_models",
    "make_router",
    "predict_image",
]
