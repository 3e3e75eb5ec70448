"""Appends many self-describing records over several connections at once, and remembers every
acknowledgement.

A record is one line of JSON-free text and filler, so that its content proves itself:
    run=RUN connection=C sequence=S sha256=HEX\n<filler>
where HEX is the SHA-256 of the filler. What was acknowledged is kept as {LSN: SHA-256 of the whole
record}, with the latency of each.
"""
import hashlib
import random
import re
import selectors
import socket
import threading
import time

HEADER = re.compile(rb"run=(\d+) connection=(\d+) sequence=(\d+) sha256=([0-9a-f]{64})\n")


def make_record(random_source, run, connection, sequence, size):
    filler = random_source.randbytes(max(0, size) // 2).hex().encode()
    digest = hashlib.sha256(filler).hexdigest()
    return (f"run={run} connection={connection} sequence={sequence} sha256={digest}\n".encode()
            + filler)


def check_record(data):
    """(run, connection, sequence) of a record, or None if its bytes are not what was sent."""
    match = HEADER.match(data)
    if match is None or hashlib.sha256(data[match.end():]).hexdigest() != match[4].decode():
        return None
    return int(match[1]), int(match[2]), int(match[3])


class _Connection:
    """One connection that keeps `depth` requests under way."""

    def __init__(self, address, number):
        self.number = number
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.outgoing = b""
        self.incoming = b""
        self.waiting = []  # (digest of the record, time of sending)
        self.sequence = 0


class LoadGenerator:
    """Runs in a thread of its own until stop(), or until the server goes away."""

    def __init__(self, address, log, *, run, seed, connections=16, depth=2, sizes=(0, 6000)):
        self.address = address
        self.path = f"/log/{log}"
        self.run_number = run
        self.random = random.Random(seed)
        self.count = connections
        self.depth = depth
        self.sizes = sizes
        self.acknowledged = {}  # LSN → SHA-256 of the record
        self.latencies = []     # seconds
        self.refused = []       # (status, body) of every answer that was not 200
        self.twice = []         # LSNs that were given out more than once
        self.sent = 0
        self._stop = threading.Event()
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stop.set()
        self.join()

    def abandon(self):
        """Ends without waiting for answers."""
        self._abandoned = True
        self.stop()

    def join(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), "the load generator hangs"

    def _size(self):
        # Mostly small records, some of several packets, as real logs are.
        low, high = self.sizes
        if self.random.random() < 0.8:
            return self.random.randint(low, min(high, 1200))
        return self.random.randint(low, high)

    def _fill(self, one):
        while len(one.waiting) < self.depth and not self._stop.is_set():
            record = make_record(self.random, self.run_number, one.number, one.sequence,
                                 self._size())
            one.sequence += 1
            one.outgoing += (f"POST {self.path} HTTP/1.1\r\nHost: test\r\n"
                             f"Content-Length: {len(record)}\r\n\r\n").encode() + record
            one.waiting.append((hashlib.sha256(record).hexdigest(), time.monotonic()))
            self.sent += 1

    def _answer(self, one):
        """Takes one whole answer from the front; False if there is none yet."""
        end = one.incoming.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = one.incoming[:end].decode("latin-1")
        length = re.search(r"(?im)^content-length:\s*(\d+)\s*$", head)
        total = end + 4 + (int(length[1]) if length else 0)
        if len(one.incoming) < total:
            return False
        body = one.incoming[end + 4:total]
        one.incoming = one.incoming[total:]
        status = int(head.split(None, 2)[1])
        digest, begin = one.waiting.pop(0)
        if status != 200:
            self.refused.append((status, body))
            return True
        lsn = int(body)
        if lsn in self.acknowledged:
            self.twice.append(lsn)
        self.acknowledged[lsn] = digest
        self.latencies.append(time.monotonic() - begin)
        return True

    def _turn(self, one):
        """Sends and receives what it can; False when the connection is gone."""
        try:
            if one.outgoing:
                one.outgoing = one.outgoing[one.socket.send(one.outgoing):]
        except BlockingIOError:
            pass
        try:
            data = one.socket.recv(262144)
            if not data:
                return False
            one.incoming += data
        except BlockingIOError:
            pass
        while self._answer(one):
            pass
        self._fill(one)
        return True

    def _open(self, selector):
        live = 0
        for number in range(self.count):
            one = _Connection(self.address, number)
            self._fill(one)
            selector.register(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
            live += 1
        return live

    def _work(self):
        with selectors.DefaultSelector() as selector:
            try:
                live = self._open(selector)
            except OSError:
                return
            while live and not self._abandoned:
                for key, _ in selector.select(0.05):
                    one = key.data
                    try:
                        alive = self._turn(one)
                    except OSError:
                        alive = False
                    if alive and (one.waiting or not self._stop.is_set()):
                        wanted = selectors.EVENT_READ
                        if one.outgoing:
                            wanted |= selectors.EVENT_WRITE
                        selector.modify(one.socket, wanted, one)
                        continue
                    selector.unregister(one.socket)
                    one.socket.close()
                    live -= 1
            for key in list(selector.get_map().values()):
                key.data.socket.close()
