"""From samples to text: medians, spread, the table and its place in docs/benchmarks.md."""

import statistics
import sys

TITLE = "# Benchmarks\n\nWritten by the scripts themselves; `script/bench` measures anew. Ratios, not absolute times, are to be quoted.\n"


def median(values):
    return statistics.median(values)


def spread(values):
    """Half of the range, as a share of the median, in per cent."""
    middle = median(values)
    return 100 * (max(values) - min(values)) / 2 / middle if middle else 0.0


def figure(values):
    """Median and spread for people: "1234 ±2 %"."""
    middle = median(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:.{digits}f} ±{spread(values):.0f} %"


def best(by_program, higher_is_better):
    """The name and samples of the program with the best median."""
    pick = max if higher_is_better else min
    return pick(by_program.items(), key=lambda item: median(item[1]))


def table(rows, ours):
    """Rows of (what, unit, higher is better, {program: samples}) as Markdown: ours, the best rival, the ratio."""
    lines = ["| what | mlxd | best rival | which | ratio |", "|---|---|---|---|---|"]
    for what, unit, higher_is_better, samples in rows:
        if ours not in samples:
            continue
        mine = samples[ours]
        rivals = {name: values for name, values in samples.items() if name != ours}
        if rivals:
            name, theirs = best(rivals, higher_is_better)
            ratio = median(mine) / median(theirs) if median(theirs) else float("nan")
            lines.append(f"| {what} ({unit}) | {figure(mine)} | {figure(theirs)} | {name} | {ratio:.2f}× |")
        else:
            lines.append(f"| {what} ({unit}) | {figure(mine)} | – | – | – |")
    return "\n".join(lines)


def replace_section(text, section, name="rivals"):
    """`text` with what stands between the markers of `name` replaced by `section`, or with it added at the end."""
    begin, end = f"<!-- {name}: written by script/bench {name} -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{section.strip()}\n{end}\n"
    if begin in text and end in text:
        head, rest = text.split(begin, 1)
        return head + section + rest.split(end, 1)[1].removeprefix("\n")
    return (text.rstrip("\n") + "\n" if text else TITLE) + "\n" + section


class Samples:
    """What has been measured: (model, row, unit) → {program: [figure of each round]}, rows in order of appearance."""

    def __init__(self, ours):
        self.ours, self.rows = ours, {}

    def add(self, model, what, unit, higher_is_better, program, value):
        row = self.rows.setdefault((model, what, unit), (higher_is_better, {}))
        row[1].setdefault(program, []).append(value)
        print(f"  {model:14} {what:34} {program:18} {value:10.2f} {unit}", file=sys.stderr, flush=True)

    def table_of(self, model):
        return table([(what, unit, higher, samples) for (name, what, unit), (higher, samples)
                      in self.rows.items() if name == model], self.ours)

    def median(self, model, what, unit, program):
        """Of a row's samples; None if it was not measured."""
        values = self.rows.get((model, what, unit), (None, {}))[1].get(program)
        return median(values) if values else None

    def as_json(self):
        return [{"model": model, "what": what, "unit": unit, "samples": samples}
                for (model, what, unit), (_, samples) in self.rows.items()]
