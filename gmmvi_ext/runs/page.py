"""One HTML file about several runs: table, pictures, differences; no other file is needed."""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from gmmvi_ext.config.documents import DOCUMENTS
from gmmvi_ext.confined import printable
from gmmvi_ext.runs.compare import differing_keys, group_labels, run_names, table_rows, target_of
from gmmvi_ext.runs.reading import RunRecord, sessions_of
from gmmvi_ext.whole_files import sweep_beside, write_whole

__all__ = ["comparison_figure", "comparison_page", "comparison_panels", "write_page"]

MAX_DETAILS = 24
DPI = 150
_NUMBERS = {"seed", *(heading for each in DOCUMENTS.values() for heading in each.columns)}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1320px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; } h3 { font-size: 1em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .3em .6em; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap;
         vertical-align: top; }
th { border-bottom: 2px solid #888; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 7em; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.best td { font-weight: bold; }
.verdict { color: white; padding: .05em .5em; border-radius: .3em; font-weight: bold; }
.panels { display: grid; grid-template-columns: 1fr 1fr; gap: 1em; }
img { max-width: 100%; height: auto; }
details { overflow-x: auto; } details img { min-width: 640px; }
summary { cursor: pointer; } li { overflow-wrap: anywhere; }
code { background: #f3f3f3; padding: 0 .2em; }
.note { color: #666; }
@media (max-width: 1280px) {  /* all columns in view */
  table { font-size: 12px; }
  th, td { padding: .3em .4em; }
  td.long { min-width: 6em; }
}
@media (max-width: 720px) {
  body { margin: 1em auto; }
  .panels { grid-template-columns: 1fr; }
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border-bottom: 2px solid #888; padding: .4em 0; }
  td, td.number { border: 0; padding: .1em 0; text-align: right; white-space: normal;
                  overflow-wrap: anywhere; }
  td::before { content: attr(data-label); float: left; margin-right: 1em; color: #666;
               font-weight: normal; }
  td::after { content: ""; display: block; clear: both; }
}
"""
_LONG = {"run", "target", "end"}
_COLORS = {
    "TRUST": "#1b7837",
    "TRUST AFTER REWEIGHTING": "#b8860b",
    "DO NOT TRUST": "#b2182b",
    "NOT AUDITED": "#666666",
    "NOT CHECKED": "#666666",
}


def comparison_figure(records: Sequence[RunRecord]):
    """ELBO curves of the runs, a row for each target, as a matplotlib figure."""
    from gmmvi_ext.plotting.comparison import plot_comparison_page

    return plot_comparison_page(_curves(records))


def comparison_panels(records: Sequence[RunRecord]) -> dict[str, list[bytes]]:
    """The same by target, each picture for itself: PNGs of the ELBO and of the gap to the best."""
    from gmmvi_ext.plotting.comparison import add_legend, plot_comparison
    from gmmvi_ext.plotting.style import new_figure

    panels: dict[str, list[bytes]] = {}
    for target, curves in _curves(records).items():
        for gap in (False, True):
            figure = new_figure((5.5, 4.0))
            ax = figure.subplots()
            x = "train_seconds" if gap else "num_target_evaluations"
            plot_comparison(curves, ax, x=x, gap=gap)
            add_legend(figure, ax)
            panels.setdefault(target, []).append(_png(figure))
    return panels


def _curves(records: Sequence[RunRecord]) -> dict:
    """Curves to draw by target; runs that differ in their seeds alone have the same label."""
    from gmmvi_ext.plotting.comparison import Curve

    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(target_of(record), []).append(record)
    names = dict(zip(map(id, records), run_names(records), strict=True))
    curves = {}
    for target, members in groups.items():
        labels = group_labels(members, [names[id(record)] for record in members])
        curves[target] = [
            Curve(label, record.metrics, record.status == "failed")
            for record, label in zip(members, labels, strict=True)
        ]
    return curves


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def comparison_page(
    records: Sequence[RunRecord], pictures: Mapping[str, Sequence[bytes]] | None = None
) -> str:
    """The page.

    Args:
      records: the runs.
      pictures: PNGs by target, side by side where the screen is wide enough; see
        `comparison_panels`.

    Returns:
      HTML text with everything in it.
    """
    names = run_names(records)
    rows, best = table_rows(records, names), _best(records)
    title = f"{len(records)} runs compared" if len(records) > 1 else html.escape(names[0])
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        _table(rows, best),
        f'<p class="note">{_note(records, best)}</p>',
        "<h2>ELBO over the runs</h2>",
        *(_panels(target, each) for target, each in (pictures or {}).items()),
        _differences(records, names),
        "<h2>The runs</h2>",
    ]
    parts += [
        _details(record, name) for record, name in zip(records[:MAX_DETAILS], names, strict=False)
    ]
    if len(records) > MAX_DETAILS:
        parts.append(f'<p class="note">... and {len(records) - MAX_DETAILS} more.</p>')
    return "\n".join([*parts, "</body></html>", ""])


def _note(records: Sequence[RunRecord], best: Set[int]) -> str:
    words = ["ELBO: higher is better; +- is one standard error."]
    if best:
        words.append("Bold: the highest ELBO on its target.")
    if any(record.document.has_verdict for record in records):
        come = (
            "Evidence, k-hat and effective sample size come from fresh draws at the end of a run."
        )
        words.append(come)
    return " ".join(words)


def _best(records: Sequence[RunRecord]) -> set[int]:
    """Rows with the highest ELBO on a target of several runs."""
    best: dict[str, int] = {}
    targets = [target_of(record) for record in records]
    for number, record in enumerate(records):
        elbo = record.summary.get("elbo")
        target = targets[number]
        if not isinstance(elbo, int | float) or targets.count(target) == 1:
            continue
        if target not in best or elbo > records[best[target]].summary["elbo"]:
            best[target] = number
    return set(best.values())


def _table(rows: list[dict[str, str]], best: Set[int] = frozenset()) -> str:
    head = "".join(f"<th>{html.escape(key)}</th>" for key in _verdict_first(rows[0]))
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(_cell(key, value) for key, value in _verdict_first(row).items())
        mark = ' class="best"' if number in best else ""
        lines.append(f"<tr{mark}>{cells}</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
        "</div>"
    )


def _verdict_first(row: dict[str, str]) -> dict[str, str]:
    """Name, verdict and figures before what was asked for: they are what a narrow screen shows."""
    last = {key: row[key] for key in ("target", "algorithm", "seed", "end") if key in row}
    return {key: value for key, value in row.items() if key not in last} | last


def _cell(key: str, value: str) -> str:
    text = html.escape(value)
    if key == "verdict" and value in _COLORS:
        text = f'<span class="verdict" style="background:{_COLORS[value]}">{text}</span>'
    if key in _LONG:
        text = re.sub(r"([_:./])", r"\1<wbr>", text)  # where long names may be broken
    kind = ' class="number"' if key in _NUMBERS else ' class="long"' if key in _LONG else ""
    return f'<td{kind} data-label="{html.escape(key)}">{text}</td>'


def _panels(target: str, pictures: Sequence[bytes]) -> str:
    titles = (f"ELBO of the runs on {target}", f"gap to the best ELBO on {target}")
    images = "".join(map(_image, pictures, titles))
    return f'<h3>{html.escape(target)}</h3><div class="panels">{images}</div>'


def _differences(records: Sequence[RunRecord], names: Sequence[str]) -> str:
    if len(records) == 1:
        return ""
    table = differing_keys(records)
    if not table:
        return '<h2>What differs</h2><p class="note">Nothing but the seeds.</p>'
    rows = [
        {"run": name} | {key: values[number] for key, values in table.items()}
        for number, name in enumerate(names)
    ]
    return "<h2>What differs</h2>" + _table(rows)


def _details(record: RunRecord, name: str) -> str:
    run, summary = record.run, record.summary
    lines = []
    if summary.get("verdict"):
        lines.append(f"<p>{html.escape(summary['verdict'])}</p>")
    lines += [f"<p><b>{html.escape(reason)}.</b></p>" for reason in record.troubles]
    if run.get("problem"):
        lines.append(f"<p><b>{html.escape(run['problem'])}</b></p>")
    versions = ", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items())
    facts = {
        "folder": printable(str(record.path)),
        "command": printable(" ".join(map(str, run.get("command") or []))),
        "started": run.get("started"),
        "sessions": len(sessions_of(run)) or None,
        "device": run.get("device"),
        "versions": versions,
        "revision": run.get("revision"),
    }
    items = "".join(
        f"<li>{key}: <code>{html.escape(str(value))}</code></li>"
        for key, value in facts.items()
        if value
    )
    lines.append(f"<ul>{items}</ul>")
    overview = record.overview
    if overview is not None:
        lines.append(_image(overview, f"overview of {name}"))
    return f"<details><summary>{html.escape(name)}</summary>{''.join(lines)}</details>"


def _image(png: bytes, title: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


def write_page(path: Path, records: Sequence[RunRecord]) -> tuple[Path, Path]:
    """Writes the page and, beside it, the picture; returns both paths."""
    picture = path.with_suffix(".png")
    for each in (path, picture):
        sweep_beside(each)
    write_whole(picture, _png(comparison_figure(records)))
    write_whole(path, comparison_page(records, comparison_panels(records)))
    return path, picture
