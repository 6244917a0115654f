"""When each worker was busy with which trial."""

from typing import Any

from tuner.report.axes import Scale, figure, legend, shortened
from tuner.report.clock import Clock
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, seconds
from tuner.report.search_figures import STATES, WIDE, classes_of, said, unit_of
from tuner.results.leaderboard import Leaderboard

MOST_BARS = 600


def timeline(leaderboard: Leaderboard) -> Markup | None:
    """Return a lane per worker with a bar per trial, over the time that the sweep was at work; nothing where there was but one worker."""
    timed = [record for record in leaderboard.records if record.started_at is not None and record.seconds is not None and record.worker]
    workers = sorted({record.worker or "" for record in timed}, key=_natural)
    if len(workers) < 2:
        return None
    clock = Clock(timed)
    lane = 22 if len(workers) <= 12 else 14 if len(workers) <= 40 else 6
    height = 40 + lane * len(workers) + 46
    starts = {record.number: clock(record.started_at or 0.0) for record in timed}
    last = max(1e-6, *(starts[record.number] + (record.seconds or 0.0) for record in timed))
    unit, divisor = unit_of(last)
    x = Scale(0, last / divisor, 150, WIDE - 20)
    lane_of = {worker: 34 + lane * index for index, worker in enumerate(workers)}
    parts: list[Any] = []
    for value, text in x.ticks(8):
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=30, y2=height - 44))
        parts.append(element("text", text, class_="tick", x=x(value), y=height - 28, text_anchor="middle"))
    parts.append(element("text", f"time at work ({unit})", class_="label", x=(x.start + x.end) / 2, y=height - 8, text_anchor="middle"))
    if lane >= 14:
        parts += [element("text", shortened(worker, 20), class_="tick", x=142, y=lane_of[worker] + lane * 0.65, text_anchor="end") for worker in workers]
    combined: dict[str, list[str]] = {}
    for record in timed:
        start = x(starts[record.number] / divisor)
        long = max(0.6, x((starts[record.number] + (record.seconds or 0.0)) / divisor) - start)
        y, thick = lane_of[record.worker or ""] + 2, lane - 4
        if len(timed) <= MOST_BARS:
            words = f"{line}, {seconds(record.seconds)} s" if (line := said(record, leaderboard)) else None
            title = element("title", words) if words else None
            parts.append(element("rect", title, class_=f"busy {classes_of(record)}", x=start, y=y, width=long, height=thick, data_trial=record.number))
        else:
            combined.setdefault(classes_of(record), []).append(f"M{start:.1f} {y}h{long:.1f}v{thick}h-{long:.1f}z")
    parts += [element("path", class_=f"busy {name}", d="".join(paths)) for name, paths in combined.items()]
    parts += [element("line", class_="rung", x1=x(at / divisor), x2=x(at / divisor), y1=30, y2=height - 44) for at in clock.breaks]
    present = {classes_of(record) for record in timed}
    parts.append(legend([(f"swatch busy {name}", words) for name, words in STATES if name in present], 150, 18))
    busy = sum(record.seconds or 0.0 for record in timed) / (last * len(workers))
    resumed = " Dashed lines: the sweep was resumed, and the time between is left out." if clock.breaks else ""
    caption = f"{count(len(workers), 'worker')}, busy {min(100.0, 100 * busy):.0f} % of the time from the first trial to the last. One bar per trial.{resumed}"
    return figure(join(parts), title="Who trained what, and when", caption=caption, width=WIDE, height=height, wide=True)


def _natural(words: str) -> list[tuple[int, str]]:
    """Return a key that sorts `slot 10` after `slot 9`."""
    parts, digits = [], ""
    for character in words + "\0":
        if character.isdecimal():
            digits += character
            continue
        if digits:
            parts.append((int(digits), ""))
            digits = ""
        parts.append((0, character))
    return parts
