"""The service as an ASGI application."""

import asyncio
import contextlib
from pathlib import Path

import gluonnlp
import mxnet
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..deploy import highlight
from .batching import Overloaded
from .documentation import as_page, openapi
from .question import Refusal, parse

_MOST_READ = 32 << 20  # bytes of a body that is refused: read, so that the client gets to see why
_RETRY_AFTER = "1"  # second
_BUSY = "too many pairs are waiting; try again later"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(batcher, limits, facts):
    """The application.

    Parameters
    ----------
    batcher : Batcher
    limits : Limits
    facts : dict
        What ``/healthz`` tells besides.

    Returns
    -------
    callable
        ASGI.
    """
    document = openapi(limits)
    versions = {"gluonnlp-snli-plugin": __version__, "gluonnlp": gluonnlp.__version__, "mxnet": mxnet.__version__}

    async def predict(request):
        try:
            with batcher.place():
                body = await _in_time(_body(request, limits.body_bytes), limits, 408, "the body did not come")
        except Overloaded:
            await _in_time(_body(request, limits.body_bytes, keeps=False), limits, 408, "the body did not come")
            raise Refusal(503, _BUSY) from None
        question = parse(body, limits)
        if question.explains and not batcher.predictor.can_explain:
            raise Refusal(422, "a model of 8 bits cannot be explained; ask without explain")
        try:
            answers = await _in_time(batcher.answer(question.pairs, question.explains), limits, 503, "no answer")
        except Overloaded:
            raise Refusal(503, _BUSY) from None
        found = [_as_json(*answer) for answer in answers]
        return JSONResponse({"predictions": found} if question.is_list else found[0])

    async def healthz(request):
        return JSONResponse({"status": "ready", **facts, "waiting": batcher.waiting, "versions": versions})

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/openapi.json", _constant(JSONResponse(document))),
        Route("/docs", _constant(HTMLResponse(as_page(document)))),
        Route("/", _constant(HTMLResponse(_file("page.html").replace("{legend}", highlight.LEGEND)))),
        Route("/page.js", _constant(Response(_file("page.js"), media_type="text/javascript"))),
        Route("/page.css", _constant(Response(highlight.style() + _file("page.css"), media_type="text/css"))),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app):
        async with batcher.running():
            yield

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={Refusal: _refused, HTTPException: _wrong_request, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return _with_headers(app)


async def _in_time(coroutine, limits, status, what):
    try:
        return await asyncio.wait_for(coroutine, limits.seconds)
    except asyncio.TimeoutError:
        raise Refusal(status, f"{what} within {limits.seconds:g} s") from None


async def _body(request, most, keeps=True):
    """The body of a request, never more of it in memory than there may be."""
    body, size = bytearray(), 0
    try:
        async for block in request.stream():
            size += len(block)
            if size <= most and keeps:
                body += block
            elif size > _MOST_READ:
                break
    except ClientDisconnect:
        raise Refusal(400, "the body ended early") from None
    if size > most:
        raise Refusal(413, f"the body is larger than {most} bytes")
    return bytes(body)


def _as_json(prediction, explanation):
    found = prediction.to_dict()
    return {**found, "explanation": explanation.to_dict()} if explanation else found


def _constant(response):
    async def endpoint(request):
        return response

    return endpoint


def _file(name):
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


async def _refused(request, refusal):
    headers = {"Retry-After": _RETRY_AFTER} if refusal.status == 503 else None
    return JSONResponse({"error": str(refusal)}, refusal.status, headers)


async def _wrong_request(request, error):
    reasons = {404: "there is nothing here; see /docs", 405: f"{request.method} is not for this path; see /docs"}
    return JSONResponse({"error": reasons.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def _failed(request, error):
    """What a client is told where the fault is ours; the log gets the whole story."""
    return JSONResponse({"error": "the service failed; its log says why"}, 500)


def _with_headers(app):
    """Every answer with headers that keep a browser from more than it should do."""
    more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]

    async def wrapped(scope, receive, send):
        async def send_more(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        await app(scope, receive, send_more)

    return wrapped
