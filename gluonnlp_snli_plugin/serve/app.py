"""The service as an ASGI application."""

import asyncio
import contextlib
import html
import ipaddress
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Dict,
    Iterable,
    MutableMapping,
    Optional,
    Sequence,
    Set,
    TypeVar,
)

import gluonnlp
import mxnet
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..errors import printable
from ..evaluate import highlight
from ..version import __version__
from .batching import Batcher, Overloaded
from .documentation import as_page, openapi
from .request import Limits, Refusal, parse

if TYPE_CHECKING:
    from ..evaluate.explanation import Explanation
    from ..evaluate.predictor import Prediction

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Result = TypeVar("Result")

_MOST_READ = 32 << 20  # bytes of a refused body that are read, so that the client receives the reason
_MOST_HELD = 256 << 20  # bytes of all bodies that are still incomplete
_RETRY_AFTER = "1"  # second
_BUSY = "too many pairs are waiting; try again later"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(batcher: Batcher, limits: Limits, facts: Dict[str, Any], hosts: Iterable[str] = ()) -> App:
    """The application.

    Parameters
    ----------
    batcher : Batcher
    limits : Limits
    facts : dict
        What ``/healthz`` reports about the model.
    hosts : iterable of str
        Names under which the service answers, besides ``localhost`` and all addresses. This stops web pages that point
        a name of their own at the address of this machine: the browser then sends that name.

    Returns
    -------
    callable
        ASGI.
    """
    document = openapi(limits, batcher.predictor.labels)
    versions = {"gluonnlp-snli-plugin": __version__, "gluonnlp": gluonnlp.__version__, "mxnet": mxnet.__version__}

    bodies = _Bodies(limits)

    async def predict(request: Request) -> JSONResponse:
        asked = parse(await bodies.read(request, batcher.is_full), limits)
        if asked.explains and not batcher.predictor.can_explain:
            raise Refusal(422, "an ONNX model cannot be explained; leave out explain")
        try:
            answers = await _in_time(batcher.answer(asked.pairs, asked.explains), limits, 503, "no answer")
        except Overloaded:
            raise Refusal(503, _BUSY) from None
        found = [_as_json(*answer) for answer in answers]
        return JSONResponse({"predictions": found} if asked.is_list else found[0])

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ready", **facts, "waiting": batcher.waiting, "versions": versions})

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/openapi.json", _constant(JSONResponse(document))),
        Route("/docs", _constant(HTMLResponse(as_page(document)))),
        Route("/", _constant(HTMLResponse(_page(batcher.predictor.labels)))),
        Route("/page.js", _constant(Response(_file("page.js"), media_type="text/javascript"))),
        Route("/page.css", _constant(Response(highlight.style() + _file("page.css"), media_type="text/css"))),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        async with batcher.running():
            yield

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={Refusal: _refused, HTTPException: _wrong_request, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return _with_headers(_for_hosts(app, {"localhost", *map(str.lower, hosts)}))


async def _in_time(coroutine: Awaitable[Result], limits: Limits, status: int, what: str) -> Result:
    try:
        return await asyncio.wait_for(coroutine, limits.seconds)
    except asyncio.TimeoutError:
        raise Refusal(status, f"{what} within {limits.seconds:g} s") from None


class _Bodies:
    """Reads the bodies of requests, and limits the memory that they take together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    async def read(self, request: Request, is_busy: bool) -> bytes:
        """The body of a JSON request. A refused body is read too, so that the client receives the reason."""
        kind = request.headers.get("content-type", "")
        is_json = kind.partition(";")[0].strip().lower() == "application/json"
        refusal: Optional[Refusal] = Refusal(503, _BUSY) if is_busy else None
        if not is_json:  # the one type that a page of another site cannot send
            refusal = Refusal(415, "the body must be JSON, declared as Content-Type: application/json")
        body = bytearray()
        try:
            reading = self._read(request, body, refusal)
            refusal = await _in_time(reading, self._limits, 408, "the body did not arrive")
        except ClientDisconnect:
            raise Refusal(400, "the body ended early") from None
        finally:
            self._held -= len(body)
        if refusal:
            raise refusal
        return bytes(body)

    async def _read(self, request: Request, body: bytearray, refusal: Optional[Refusal]) -> Optional[Refusal]:
        size, most = 0, self._limits.body_bytes
        async for block in request.stream():
            size += len(block)
            if size > most:
                refusal = Refusal(413, f"the body is larger than {most} bytes")
            elif self._held + len(block) > _MOST_HELD:
                refusal = refusal or Refusal(503, _BUSY)
            if size > _MOST_READ:
                break
            if not refusal:
                body += block
                self._held += len(block)
        return refusal


def _as_json(prediction: "Prediction", explanation: Optional["Explanation"]) -> Dict[str, Any]:
    found = prediction.to_dict()
    return {**found, "explanation": explanation.to_dict()} if explanation else found


def _constant(response: Response) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return response

    return endpoint


def _page(labels: Sequence[str]) -> str:
    *others, last = (f"<em>{html.escape(label)}</em>" for label in labels)
    labels_in_words = f"{', '.join(others)} or {last}"
    return _file("page.html").replace("{legend}", highlight.LEGEND).replace("{labels}", labels_in_words)


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


async def _refused(request: Request, refusal: Any) -> JSONResponse:
    headers = {"Retry-After": _RETRY_AFTER} if refusal.status == 503 else None
    return JSONResponse({"error": str(refusal)}, refusal.status, headers)


async def _wrong_request(request: Request, error: Any) -> JSONResponse:
    reasons = {404: "not found; see /docs", 405: f"method {request.method} is not allowed here; see /docs"}
    return JSONResponse({"error": reasons.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """The response to an error of the service itself; the log has the traceback."""
    return JSONResponse({"error": "the service failed; its log says why"}, 500)


def _for_hosts(app: App, names: Set[str]) -> App:
    """An application that answers under these names, and under any address."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            foreign = next((host for host in hosts if not _is_address(_name(host)) and _name(host) not in names), None)
            if foreign is not None:
                what = f"this service does not answer as {printable(foreign)}; its option --allow-host NAME allows it"
                await JSONResponse({"error": what}, 421)(scope, receive, send)
                return
        await app(scope, receive, send)

    return wrapped


def _name(host: str) -> str:
    """The name in a header ``Host``, without the port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _with_headers(app: App) -> App:
    """Adds the headers that limit what a browser may do with a response."""
    more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Scope) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        await app(scope, receive, send_more)

    return wrapped
