#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker of acceptd for asyncio, on the protocol alone: acceptd-protocol(7).

    asyncio.run(acceptd_asyncio.serve(on_connection))

runs on_connection(reader, writer), as asyncio.start_server() does, for each connection, until the
drain. Executed itself, it is an echo.
"""

import asyncio
import os
import resource
import socket
import struct
import sys

RECORD = struct.Struct("=BBHIQ")
CONNECTION, PING, LIST, DRAIN = 1, 2, 3, 4
READY, DONE, PONG, HELD, FAILED = 16, 17, 18, 19, 20
FEATURE_FAILED, FEATURE_DRAIN = 1, 4
REASON_DESCRIPTOR = 3
EX_PROTOCOL = 76


class Worker:
    def __init__(self, on_connection, capacity):
        self.on_connection = on_connection
        self.channel = socket.socket(fileno=int(os.environ["ACCEPTD_CHANNEL"]))
        self.channel.set_inheritable(False)
        self.loop = asyncio.get_running_loop()
        self.drained = asyncio.Event()
        self.held = {}
        self.unsaid = []
        offered = int(os.environ.get("ACCEPTD_FEATURES", "0"))
        self.features = offered & (FEATURE_FAILED | FEATURE_DRAIN)
        spare = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64
        self.say(READY, max(1, min(capacity, spare)), self.features)
        self.loop.add_reader(self.channel, self.receive)

    def say(self, kind, value=0, id=0):
        self.unsaid.append(RECORD.pack(1, kind, 0, value, id))
        self.flush()

    def flush(self):
        """At most 64 records in a datagram, and never blocking."""
        while self.unsaid:
            try:
                self.channel.send(b"".join(self.unsaid[:64]), socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.loop.add_writer(self.channel, self.flush)
                return
            except OSError:  # nobody reads any more
                self.unsaid.clear()
                return
            del self.unsaid[:64]
        self.loop.remove_writer(self.channel)

    def receive(self):
        try:
            data, fds, flags, _ = socket.recv_fds(self.channel, 17, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, fds, flags = b"", [], 0
        if not data and not fds:
            self.loop.remove_reader(self.channel)
            self.drained.set()
            return
        if len(data) != RECORD.size or data[0] != 1:
            sys.exit(EX_PROTOCOL)
        _, kind, listener, value, id = RECORD.unpack(data)
        if kind == CONNECTION:
            self.connection(id, fds)
        elif kind in (PING, LIST) and not fds:
            for held in self.held if kind == LIST else ():
                self.say(HELD, 0, held)
            self.say(PONG, value)
        elif kind != DRAIN or not self.features & FEATURE_DRAIN or fds:
            sys.exit(EX_PROTOCOL)

    def connection(self, id, fds):
        if id in self.held:
            sys.exit(EX_PROTOCOL)
        if not fds:  # it was lost at RLIMIT_NOFILE
            failed = self.features & FEATURE_FAILED
            self.say(FAILED if failed else DONE, REASON_DESCRIPTOR if failed else 0, id)
            return
        self.held[id] = self.loop.create_task(self.run(id, socket.socket(fileno=fds[0])))

    async def run(self, id, client):
        try:
            reader, writer = await asyncio.open_connection(sock=client)
            try:
                await self.on_connection(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()
        except OSError:
            pass  # the client has left
        finally:
            client.close()
            del self.held[id]
            self.say(DONE, 0, id)


async def serve(on_connection, capacity=1000):
    worker = Worker(on_connection, capacity)
    await worker.drained.wait()
    while worker.held:
        await asyncio.wait(list(worker.held.values()))
    while worker.unsaid:
        await asyncio.sleep(0.01)


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(serve(echo))
