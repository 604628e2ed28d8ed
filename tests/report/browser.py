"""A page in headless Chromium, driven over its own debugging protocol: enough to look at what a reader would see."""

import asyncio
import base64
import contextlib
import re
import shutil
import tempfile

import aiohttp

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"),
    *(
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ),  # nothing leaves the machine
]


def find_chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One tab. `problems` collects whatever the browser logs: errors, exceptions, refused loads."""

    def __init__(self, socket):
        self._socket, self._sent, self.problems = socket, 0, []

    async def call(self, method, **parameters):
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        return await self._until(lambda message: message.get("id") == self._sent)

    async def _until(self, wanted):
        while True:
            message = await self._socket.receive_json()
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.problems.append(message["params"])
            if wanted(message):
                return message.get("result", {})

    async def open(self, url, width, scheme="light", media="screen"):
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        await self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        await self.call("Page.navigate", url=url)
        await self._until(lambda message: message.get("method") == "Page.loadEventFired")

    async def printed(self):
        """The bytes of the page on A4 paper, and the number of its sheets."""
        await self.call("Emulation.setEmulatedMedia", media="", features=[])
        await self.call("Emulation.clearDeviceMetricsOverride")
        answer = await self.call("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        pdf = base64.b64decode(answer["data"])
        return pdf, len(re.findall(rb"/Type\s*/Page\b", pdf))

    async def evaluate(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@contextlib.asynccontextmanager
async def chromium(program):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
        )
        try:
            while b"DevTools listening on" not in (line := await process.stderr.readline()):
                assert line, "chromium ended before it listened"
            port = re.search(rb"ws://127\.0\.0\.1:(\d+)/", line)[1].decode()
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    tab = next(tab for tab in await answer.json() if tab["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    for domain in ("Log", "Runtime", "Page"):
                        await page.call(f"{domain}.enable")
                    yield page
        finally:
            process.terminate()
            await process.wait()
