"""A grouped horizontal bar chart as SVG, written by hand so that the benchmarks need nothing
but Python's own library. It knows numbers and labels, not servers or workloads."""

from xml.sax.saxutils import escape

COLOURS = ("#0b7285", "#f08c00", "#c92a2a", "#868e96")
WIDTH = 860
LABEL_WIDTH = 110
VALUE_WIDTH = 50
BAR_HEIGHT = 13
GROUP_GAP = 11
HEADER_HEIGHT = 92
FOOTER_HEIGHT = 30


def grouped_bars(title, subtitle, groups, series, baseline):
    """`groups` maps a label to {series name: value}; `series` maps its name to its legend.
    A dashed line marks the value `baseline`."""
    largest = max((value for bars in groups.values() for value in bars.values()), default=baseline)
    step = tick_step(largest)
    top_of_scale = step * (int(largest / step) + 1)
    plot_width = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    height = HEADER_HEIGHT + FOOTER_HEIGHT + sum(
        len(bars) * BAR_HEIGHT + GROUP_GAP for bars in groups.values())
    colour = dict(zip(series, COLOURS))

    def x(value):
        return LABEL_WIDTH + plot_width * value / top_of_scale

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        text(16, 28, title, size=18, weight="bold"),
        text(16, 48, subtitle, fill="#495057"),
    ]
    left = 16
    for name, legend in series.items():
        out.append(f'<rect x="{left}" y="62" width="12" height="12" rx="2" fill="{colour[name]}"/>')
        out.append(text(left + 18, 72, legend))
        left += 44 + 7 * len(legend)

    bottom = height - FOOTER_HEIGHT
    tick = 0.0
    while tick <= top_of_scale + step / 2:
        out.append(line(x(tick), HEADER_HEIGHT - 6, bottom, "#e9ecef"))
        out.append(text(x(tick), bottom + 16, f"{tick:g}", fill="#868e96", anchor="middle"))
        tick = round(tick + step, 6)

    top = HEADER_HEIGHT
    for label, bars in groups.items():
        middle = top + len(bars) * BAR_HEIGHT / 2 + 4
        out.append(text(LABEL_WIDTH - 10, middle, label, anchor="end"))
        for name, value in bars.items():
            width = x(value) - LABEL_WIDTH
            out.append(f'<rect x="{LABEL_WIDTH}" y="{top + 1}" width="{width:.1f}" '
                       f'height="{BAR_HEIGHT - 2}" rx="2" fill="{colour[name]}"/>')
            out.append(text(x(value) + 5, top + 10, f"{value:.2f}", size=10, fill="#495057"))
            top += BAR_HEIGHT
        top += GROUP_GAP
    out.append(line(x(baseline), HEADER_HEIGHT - 6, bottom, "#343a40", dashes="4 3"))
    out.append("</svg>\n")
    return "\n".join(out)


def tick_step(largest):
    """The smallest of 0.1, 0.25, 0.5, 1, 2.5, … that needs at most eight ticks."""
    step = 0.1
    factors = (2.5, 2, 2)
    count = 0
    while largest / step > 8:
        step *= factors[count % 3]
        count += 1
    return round(step, 6)


def text(x, y, content, size=12, fill="#212529", anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>')


def line(x, top, bottom, stroke, dashes=None):
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{stroke}"{dash}/>'
