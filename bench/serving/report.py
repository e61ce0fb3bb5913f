"""From samples to text: medians, spread, the table and its place in docs/benchmarks.md."""

import statistics

BEGIN, END = "<!-- rivals: written by script/bench rivals -->", "<!-- rivals: end -->"
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


def replace_section(text, section):
    """`text` with what stands between the markers replaced by `section`, or with it added at the end."""
    section = f"{BEGIN}\n{section.strip()}\n{END}\n"
    if BEGIN in text and END in text:
        head, rest = text.split(BEGIN, 1)
        return head + section + rest.split(END, 1)[1].lstrip("\n")
    return (text.rstrip("\n") + "\n" if text else TITLE) + "\n" + section
