"""The factors of the cases, their pairwise cover, and the streams that both sides know."""
import itertools
import random

PERIOD = 65521

FACTORS = {
    "role": ["server", "client"],  # ours
    "option": ["defaults", "no-sack", "no-timestamps", "no-window-scale", "ecn", "reno",
               "kernel-no-sack", "kernel-no-timestamps", "kernel-no-window-scale"],
    "mtu": [1500, 576, 1280, 9000],
    "impairment": ["none", "loss", "reorder", "delay"],
    "workload": ["sink", "source", "echo", "half-close", "kernel-resets", "we-reset",
                 "kernel-reads-slowly", "we-read-slowly", "short"],
}


def pairwise(seed, factors=FACTORS):
    """Cases such that every two values of different factors meet; greedy, the same each time."""
    prng = random.Random(seed)
    names = list(factors)
    missing = {((a, x), (b, y)) for a, b in itertools.combinations(names, 2)
               for x in factors[a] for y in factors[b]}
    cases = []
    while missing:
        best, best_pairs = None, set()
        (a, x), (b, y) = prng.choice(sorted(missing, key=repr))
        for _ in range(30):
            case = {name: prng.choice(values) for name, values in factors.items()} | {a: x, b: y}
            pairs = missing & set(itertools.combinations(case.items(), 2))
            if len(pairs) > len(best_pairs):
                best, best_pairs = case, pairs
        missing -= best_pairs
        cases.append(best)
    return cases


def make_stream():
    x, out = 1, bytearray()
    for _ in range(PERIOD):
        x = (x * 1103515245 + 12345) & 0xffffffff
        out.append(x >> 16 & 0xff)
    return bytes(out)


STREAM = make_stream() * 18  # a little more than 1 MiB


def stream(start, length):
    start %= PERIOD
    return memoryview(STREAM)[start:start + length]


def sent_by_kernel(client_port, length):
    return stream(client_port * 31 + 31337, length)


def sent_by_us(client_port, length):
    return stream(client_port * 31, length)
