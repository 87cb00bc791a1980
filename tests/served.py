"""A server of rung on a free port of this machine, in a thread of the test's process."""

import contextlib
import threading
from collections.abc import Generator

from rung.serve.app import App
from rung.serve.running import Listening, bound, server_of


@contextlib.contextmanager
def served(app: App) -> Generator[str]:
    """The app's address, as http://localhost:PORT, while it runs."""
    where = Listening(port=0)
    with bound(where) as listener:
        server = server_of(app, where)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=60)
            assert not thread.is_alive()
