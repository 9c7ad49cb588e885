"""Readers with a page open, as the dashboard's server sees them: what their browsers would send, and nothing drawn.

Their browsers run on the readers' own machines; on this one they would take the processor from what is measured.
"""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

OPEN_S = 60.0


@dataclass
class Session:
    """One open page: its part of the address, and what has come of it so far."""

    path: str
    query: str
    page: str = ""  # as the server calls it
    refreshed: int = 0  # parts of it, each a run of its script
    received_bytes: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Sessions:
    """`with Sessions(url, [("live", "project=p"), ...])`: all of them open when it begins, until it ends."""

    def __init__(self, url: str, pages: list[tuple[str, str]]) -> None:
        self._url = url.replace("http", "ws", 1) + "/_stcore/stream"
        self.open = [Session(*page) for page in pages]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._opened = threading.Event()
        self._end = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._opened.wait()
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended a session."""
        if self._failure is not None:
            raise SystemExit(f"a session failed: {self._failure!r}")

    async def _serve(self) -> None:
        try:
            async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
                serving = [tasks.create_task(self._session(http, session)) for session in self.open]
                async with asyncio.timeout(OPEN_S):
                    await asyncio.gather(*(session.ready.wait() for session in self.open))
                self._opened.set()
                await asyncio.to_thread(self._end.wait)
                for task in serving:
                    task.cancel()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._failure = error
        finally:
            self._opened.set()

    async def _session(self, http: aiohttp.ClientSession, session: Session) -> None:
        async with http.ws_connect(self._url, protocols=("streamlit",), max_msg_size=0) as socket:
            await socket.send_bytes(_rerun(session).SerializeToString())
            timers: dict[str, asyncio.Task[None]] = {}
            try:
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.BINARY:
                        raise ConnectionError(f"the server said {message.type}")
                    session.received_bytes += len(message.data)
                    self._heard(ForwardMsg.FromString(message.data), session, socket, timers)
                raise ConnectionError("the server hung up")
            finally:
                for timer in timers.values():
                    timer.cancel()

    def _heard(
        self,
        said: ForwardMsg,
        session: Session,
        socket: aiohttp.ClientWebSocketResponse,
        timers: dict[str, asyncio.Task[None]],
    ) -> None:
        kind = said.WhichOneof("type")
        if kind == "new_session":
            session.page = said.new_session.page_script_hash
        elif kind == "page_info_changed":
            session.query = said.page_info_changed.query_string
        elif kind == "auto_rerun":
            part, interval_s = said.auto_rerun.fragment_id, said.auto_rerun.interval
            if part not in timers:
                timers[part] = asyncio.create_task(_refresh(socket, session, part, interval_s))
        elif kind == "script_finished":
            if session.ready.is_set():
                session.refreshed += 1  # a part of the page; "early" means that the next one was due already
            elif said.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                session.ready.set()


async def _refresh(socket: aiohttp.ClientWebSocketResponse, session: Session, part: str, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await socket.send_bytes(_rerun(session, part).SerializeToString())


def _rerun(session: Session, part: str = "") -> BackMsg:
    asked = BackMsg()
    state = asked.rerun_script
    state.query_string, state.page_name, state.page_script_hash = session.query, session.path, session.page
    state.fragment_id, state.is_auto_rerun = part, bool(part)
    return asked
