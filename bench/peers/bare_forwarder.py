"""A forwarder that does nothing but forward, on the libraries of the gateway: asyncio and httptools. It keeps nothing, changes nothing, and knows no errors.

Run: `python bare_forwarder.py PORT FOLDER`; it forwards to 127.0.0.1:PORT and writes its own port to FOLDER/port.
"""

import asyncio
import sys
from pathlib import Path

import httptools

idle = []


class Up(asyncio.Protocol):
    def __init__(self):
        self.app, self.done = None, False
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport):
        self.transport = transport

    def on_message_complete(self):
        self.done = True

    def data_received(self, data):
        self.parser.feed_data(data)
        self.app.transport.write(data)
        if self.done:
            self.done = False
            idle.append(self)


class App(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.raw = transport, []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_complete(self):
        raw, self.raw = b"".join(self.raw), []
        if idle:
            self.send(idle.pop(), raw)
        else:
            asyncio.get_running_loop().create_task(self.connect(raw))

    def data_received(self, data):
        self.raw.append(data)
        self.parser.feed_data(data)

    async def connect(self, raw):
        _, up = await asyncio.get_running_loop().create_connection(Up, "127.0.0.1", int(sys.argv[1]))
        self.send(up, raw)

    def send(self, up, raw):
        up.app = self
        up.transport.write(raw)


async def main():
    server = await asyncio.get_running_loop().create_server(App, "127.0.0.1", 0, backlog=1024)
    (Path(sys.argv[2]) / "port").write_text(str(server.sockets[0].getsockname()[1]))
    await asyncio.Event().wait()


asyncio.run(main())
