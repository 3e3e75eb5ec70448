"""What the measurements say, and when they say nothing: ratios, noise, tables, files."""

import json
import os
import pathlib
import platform
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
CLIENT_BUSY = 0.97  # of the client's core: more means that the client is the bottleneck
IDLE_SHARE = 0.03  # of the server's core: more means that the client is the bottleneck
OTHERS_SHARE = 0.05  # of the time that server or client waited for others: more is noise


def median(runs, key):
    return statistics.median(r[key] for r in runs)


def spread(values):
    """(max - min) / median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def ratio(runs, base, key):
    """Median of the ratios within each repetition, and how far apart these ratios lie."""
    ratios = [a[key] / b[key] for a, b in zip(runs, base)]
    return statistics.median(ratios), max(ratios) - min(ratios)


def disturbed(runs):
    """The largest share of the time that others kept server or client waiting, in the median."""
    return max(median(runs, key) for key in ("server_waited", "client_waited", "steal"))


def verdict(value, noise, mine, base):
    others = max(disturbed(mine), disturbed(base))
    if others > OTHERS_SHARE:
        return f"no conclusion: others kept it waiting {others:.0%} of the time"
    if len(mine) < 2:
        return "no conclusion: one run"
    if noise >= abs(value - 1):
        return f"no conclusion: noise {noise:.2f} > difference {abs(value - 1):.2f}"
    return "more" if value > 1 else "less"


def best(cell, family, key, want):
    names = [n for n in cell if n.split()[0] == family]
    return want(names, key=lambda n: median(cell[n], key)) if names else None


def conclude(cell):
    """For one number of connections and one delay: the best of each family against the baseline."""
    lines, facts = [], {}
    base_rate = best(cell, "baseline", "rate", max)
    # The least CPU per request is that of a server that may sleep: a busy one fills its core.
    base_cpu = best(cell, "baseline", "core_us", min)
    for family in ("uring", "epoll", "xdp"):
        mine_rate, mine_cpu = best(cell, family, "rate", max), best(cell, family, "core_us", min)
        if not (mine_rate and base_rate):
            continue
        r, r_noise = ratio(cell[mine_rate], cell[base_rate], "rate")
        c, c_noise = ratio(cell[mine_cpu], cell[base_cpu], "core_us")
        said = {}
        for what, value, noise, mine, base in (
                ("requests/s", r, r_noise, mine_rate, base_rate),
                ("CPU/request", c, c_noise, mine_cpu, base_cpu)):
            said[what] = verdict(value, noise, cell[mine], cell[base])
            lines.append(f"{mine} / {base}: {what} {value:.2f} x, {said[what]}")
        base_p50 = best(cell, "baseline", "p50_us", min)
        mine_p50 = best(cell, family, "p50_us", min)
        p, p_noise = ratio(cell[mine_p50], cell[base_p50], "p50_us")
        p_said = verdict(p, p_noise, cell[mine_p50], cell[base_p50])
        lines.append(f"{mine_p50} / {base_p50}: p50 {p:.2f} x, {p_said}")
        facts[family] = {"rate_ratio": r, "rate_noise": r_noise, "rate_of": [mine_rate, base_rate],
                         "p50_ratio": p, "p50_noise": p_noise, "cpu_ratio": c,
                         "cpu_noise": c_noise, "cpu_of": [mine_cpu, base_cpu], "said": said}
        if family == "xdp":
            lines += compare_xdp(cell, facts[family])
            continue
        idle = 1 - median(cell[mine_cpu], "server_busy")
        client = median(cell[mine_rate], "client_busy")
        quiet = disturbed(cell[mine_rate]) <= OTHERS_SHARE  # else its core is full of others
        facts[family]["client_bound"] = idle > IDLE_SHARE or (quiet and client > CLIENT_BUSY)
        if facts[family]["client_bound"]:
            lines.append(f"  The client is the bottleneck (its core {client:.0%} busy, the "
                         f"server's {idle:.0%} idle when it may sleep): CPU/request counts.")
    return lines, facts


def compare_xdp(cell, facts):
    """Zero copy against copying; and who waits for whom: both ends poll, so both look busy."""
    lines = []
    if "xdp busy" in cell and "xdp copying" in cell:
        z, noise = ratio(cell["xdp busy"], cell["xdp copying"], "rate")
        facts["zero_copy_ratio"], facts["zero_copy_noise"] = z, noise
        lines.append(f"xdp busy / xdp copying: requests/s {z:.2f} x (noise {noise:.2f})")
    for name, runs in cell.items():
        batches = [r.get(k) for k in ("client_batch", "server_batch") for r in runs]
        if all(batches):
            client, server = median(runs, "client_batch"), median(runs, "server_batch")
            lines.append(f"{name}: {client:.1f} replies a turn at the client, {server:.1f} "
                         "requests a turn at the server; the larger waits at the slower end")
    return lines


COLUMNS = [("server", "{}", None), ("req/s", "{:.0f}", "rate"), ("spread", "{:.0%}", None),
           ("p50 us", "{:.0f}", "p50_us"), ("p99 us", "{:.0f}", "p99_us"),
           ("core us/req", "{:.2f}", "core_us"), ("process us/req", "{:.2f}", "process_us"),
           ("both cores us/req", "{:.2f}", "both_us"), ("server core", "{:.0%}", "server_busy"),
           ("client core", "{:.0%}", "client_busy"), ("server waited", "{:.0%}", "server_waited"),
           ("client waited", "{:.0%}", "client_waited"), ("stolen", "{:.0%}", "steal")]


def table(cell):
    rows = [[title for title, _, _ in COLUMNS]]
    for name, runs in cell.items():
        row = []
        for title, form, key in COLUMNS:
            value = name if title == "server" else (
                spread([r["rate"] for r in runs]) if title == "spread" else median(runs, key))
            row.append(form.format(value))
        rows.append(row)
    widths = [max(len(r[i]) for r in rows) for i in range(len(COLUMNS))]
    lines = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))) + " |" for r in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":")
                                   for i, w in enumerate(widths)) + "|")
    return lines


def xdp_targets(args, facts):
    """What the project set itself for the xdp port, in the fair accounting."""
    wanted = [(64, "", "rate_ratio", ">=", 2.5), (100, "", "rate_ratio", ">=", 2.5),
              (1, "", "p50_ratio", "<=", 0.45), (100, "10us", "rate_ratio", ">=", 5.5),
              (64, "10us", "rate_ratio", ">=", 5.5), (64, "", "zero_copy_ratio", ">=", 0.97),
              (100, "", "zero_copy_ratio", ">=", 0.97)]
    lines = []
    for connections, delay, key, sign, bound in wanted:
        f = facts.get((connections, delay), {}).get("xdp", {})
        if key not in f:
            continue
        value, noise = f[key], f[key.replace("ratio", "noise")]
        met = value >= bound if sign == ">=" else value <= bound
        lines.append(f"- {connections} connections, media delay {delay or 'none'}: "
                     f"{key.replace('_', ' ')} {value:.2f} (noise {noise:.2f}), target {sign} "
                     f"{bound}: {'met' if met else 'NOT met'}")
    return lines


def targets(args, facts):
    """The two numbers that the project set itself, at the largest number of connections."""
    if args.port == "xdp":
        return xdp_targets(args, facts)
    lines, most = [], max(args.connections)
    for delay, factor in (("", 1.2), ("10us", 2.7)):
        f = facts.get((most, delay), {}).get("uring")
        if not f:
            continue
        by_rate, by_cpu = f["rate_ratio"] >= factor, not delay and f["cpu_ratio"] <= 0.83
        unsure = [w for w, v in f["said"].items() if v.startswith("no conclusion")]
        unsure = len(unsure) == len(f["said"]) or (delay and "requests/s" in unsure)
        answer = "cannot be told" if unsure else "met" if by_rate or by_cpu else "NOT met"
        text = f"requests/s {f['rate_ratio']:.2f} x (noise {f['rate_noise']:.2f})"
        if not delay:
            text += f", CPU/request {f['cpu_ratio']:.2f} x (noise {f['cpu_noise']:.2f})"
        want = f">= {factor} x requests/s" + ("" if delay else " or <= 0.83 x CPU/request")
        lines.append(f"- {most} connections, media delay {delay or 'none'}: target {want}: "
                     f"{answer} ({text})")
    return lines


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((l.split(":", 1)[1].strip() for l in info if l.startswith("model name")), "?")
    commit = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty"],
                            capture_output=True, text=True).stdout.strip()
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "commit": commit}


def report(args, cells):
    about = machine()
    lines = ["# pst serve against the baseline", "",
             f"{args.record_bytes} B records, {args.repeat} x {args.seconds} s, medians; server on "
             f"core {args.server_core}, {args.generator} on core {args.client_core}; "
             f"{args.network.name}, receiving {args.accounting}, "
             f"{args.backing}; "
             + ", ".join(f"{k} {v}" for k, v in about.items()) + ".", "",
             *args.network.accounting.strip().splitlines(), ""]
    facts = {}
    for (connections, delay), cell in cells.items():
        lines += [f"## {connections} connections, media delay {delay or 'none'}", ""]
        lines += [*table(cell), ""]
        said, facts[connections, delay] = conclude(cell)
        lines += ["    " + l for l in said] + [""]
    worst = [max(r[k] for c in cells.values() for runs in c.values() for r in runs)
             for k in ("server_waited", "client_waited", "steal")]
    if max(worst) > OTHERS_SHARE:
        lines += [f"The machine was noisy: in the worst run others kept the server waiting "
                  f"{worst[0]:.0%} of the time, wrk {worst[1]:.0%}; the hypervisor took "
                  f"{worst[2]:.0%}.", ""]
    lines += ["## Targets", "", *targets(args, facts), ""]
    folder = pathlib.Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text("\n".join(lines))
    data = [{"connections": c, "delay": d, "server": n, "runs": runs}
            for (c, d), cell in cells.items() for n, runs in cell.items()]
    verdicts = [{"connections": c, "delay": d, **f} for (c, d), f in facts.items()]
    (folder / "results.json").write_text(json.dumps(
        {"machine": about, "seconds": args.seconds, "repeat": args.repeat,
         "record_bytes": args.record_bytes, "measurements": data, "verdicts": verdicts}, indent=1))
    print("\n".join(lines))
    print(f"written: {folder / 'results.md'}, {folder / 'results.json'}")
