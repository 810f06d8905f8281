"""The review page, served for a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from minigpt4.curation.review import Review, address_of, serve_review


@contextmanager
def served(review: Review) -> Iterator[str]:
    """Its address, as long as it is served."""
    server = serve_review(review)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address_of(server, review)
    finally:
        server.shutdown()
        server.server_close()
