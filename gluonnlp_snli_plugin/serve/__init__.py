"""An HTTP service that answers pairs: needs the extra ``serve`` (Starlette and uvicorn)."""
