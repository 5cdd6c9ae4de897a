"""A report as text (rich tables), as Markdown and as HTML for notebooks."""

import html
import io
import math
import re
import textwrap

from gmmvi_ext.exploration.audit import why_nothing
from gmmvi_ext.notebook import html_table

__all__ = ["markdown", "notebook", "text"]

MAX_ROWS = 20  # rows of a table in print; `as_dict` has them all
MAX_LOCATION = 4  # leading coordinates of a location in print
LEVEL_STYLE = {"trust": "bold green", "reweight": "bold yellow"}
LEVEL_COLOR = {"trust": "#1b7837", "reweight": "#8a6508", "unchecked": "#555555"}
LEAST_WEIGHT = 5e-5  # of a component in print: less is 0.0000
WIDTH = 100
SLACK = 20  # letters beyond it that do not break a sentence


def _number(value, digits: int = 4) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.{digits}g}"


def _with_error(value, error, digits=3) -> str:
    if value is None or not math.isfinite(value):
        return _number(value)
    return f"{value:.{digits}f}" + ("" if math.isnan(error) else f" +- {error:.{digits}f}")


def _headline(report) -> list[tuple[str, str]]:
    rows = [
        ("ELBO", _with_error(report.elbo, report.elbo_se)),
        ("log evidence", _with_error(report.log_evidence, report.log_evidence_se)),
        ("Pareto k-hat", f"{_number(report.khat, 3)} (limit {report.khat_limit:.2f})"),
        ("ESS", f"{_number(report.ess, 5)} of {report.num_samples}"),
        *([("draws", report.draws_note)] if report.draws_note else []),
        ("modes", str(report.num_modes)),
        ("components", str(report.num_components)),
    ]
    if not math.isnan(report.max_shift):
        rows.append(("largest mean shift by reweighting (sd)", f"{report.max_shift:.2f}"))
    if not math.isnan(report.eubo):
        rows.insert(2, ("EUBO", _with_error(report.eubo, report.eubo_se)))
        rows.append(("target mass covered", f"{report.coverage:.1%}"))
    if report.defensive:
        heavy = report.defensive
        evidence = _with_error(heavy["log_evidence"], heavy["log_evidence_se"])
        rows.append(
            (
                "with heavy-tailed draws",
                f"k-hat {_number(heavy['khat'], 3)}, ESS {_number(heavy['ess'], 5)}, "
                f"log evidence {evidence}",
            )
        )
    audit = report.run_info.get("audit")
    if audit:
        result = why_nothing(audit) or (
            f"{audit['num_missed']} of {audit['num_searches']} fresh searches end in mass the "
            f"mixture lacks, {audit['missed_mass']:.2g} of all (95 % limit of such searches, "
            f"not of mass: {audit['missed_limit']:.0%})"
        )
        rows.append(("audit", result))
    rows += [(f"support of {name}", words) for name, words in report.constraints.items()]
    if report.num_nonfinite:
        rows.append(("non-finite draws", f"{report.num_nonfinite} of {report.num_samples}"))
    for key, label in (
        ("num_target_evaluations", "target evaluations"),
        ("iterations", "iterations"),
        ("train_seconds", "training seconds"),
        ("stop_reason", "stopped by"),
    ):
        if key in report.run_info:
            value = report.run_info[key]
            rows.append((label, value if isinstance(value, str) else _number(value, 6)))
    return rows


def _location(values) -> str:
    shown = ", ".join(_number(value, 3) for value in values[:MAX_LOCATION])
    return f"({shown}{', ...' if len(values) > MAX_LOCATION else ''})"


def _tables(report) -> list[tuple[str, list[str], list[list[str]], int]]:
    parameters, derived = (
        [
            [r["name"]]
            + [_number(r[k]) for k in ("mean", "sd", "q5", "median", "q95", "reweighted_mean")]
            for r in rows
        ]
        for rows in (report.parameters, report.derived)
    )
    modes = [
        [
            str(r["mode"]),
            f"{r['weight']:.4f}",
            _with_error(r["mass"], r["mass_se"], 4),
            "-" if r["num_found"] is None else str(r["num_found"]),
            str(r["num_components"]),
            _location(r["location"]),
        ]
        for r in report.modes
    ]
    components = [
        [
            str(r["component"]),
            f"{r['weight']:.4f}",
            str(r["mode"]),
            _number(r["typical_sd"], 3),
            _location(r["location"]),
        ]
        for r in report.components
        if r["weight"] >= LEAST_WEIGHT
    ]
    header = ["parameter", "mean", "sd", "5%", "median", "95%", "mean, reweighted"]
    tables = [("Parameters", header, parameters[:MAX_ROWS], len(parameters))]
    if derived:
        name = "Derived by the model"
        tables.append((name, ["variable", *header[1:]], derived[:MAX_ROWS], len(derived)))
    return [
        *tables,
        (
            "Modes",
            ["mode", "weight", "mass, reweighted", "times found", "components", "location"],
            modes[:MAX_ROWS],
            len(modes),
        ),
        (
            "Components",
            ["component", "weight", "mode", "geometric-mean sd", "location"],
            components[:MAX_ROWS],
            len(report.components),
        ),
    ]


def text(report, *, color: bool = False) -> str:
    """Tables and the verdict, for a terminal of 100 columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = io.StringIO()
    # In a notebook the text is wanted, too, not what rich would display there by itself.
    console = Console(
        file=stream, width=WIDTH, force_terminal=color, force_jupyter=False, highlight=False
    )
    style = LEVEL_STYLE.get(report.level, "bold red")
    for line in _sentences(report.verdict):
        console.print(Text(line, style=style), soft_wrap=True)
    summary = Table.grid(padding=(0, 3))
    for label, value in _headline(report):
        summary.add_row(Text(label), Text(value))
    console.print(summary)
    for title, header, rows, total in _tables(report):
        shown = title if total == len(rows) else f"{title} ({len(rows)} of {total})"
        table = Table(title=shown, title_justify="left", header_style="bold")
        for number, name in enumerate(header):
            is_text = number == 0 or name == "location"
            table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _sentences(verdict: str) -> list[str]:
    """A line for each sentence; what is much too long for one is broken between words."""
    lines: list[str] = []
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", verdict):
        is_long = len(sentence) > WIDTH + SLACK
        lines += textwrap.wrap(sentence, WIDTH) if is_long else [sentence]
    return lines


def markdown(report) -> str:
    """The same content as Markdown."""
    lines = ["# Posterior report", "", f"**{report.verdict}**", "", "| | |", "|---|---|"]
    lines += [f"| {label} | {value} |" for label, value in _headline(report)]
    for title, header, rows, total in _tables(report):
        lines += ["", f"## {title}", ""]
        if total > len(rows):
            lines += [f"The first {len(rows)} of {total}.", ""]
        lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows
        ]
    return "\n".join(lines) + "\n"


def notebook(report) -> str:
    """The same content as HTML, for `_repr_html_`; parameters open, modes and components folded."""
    color = LEVEL_COLOR.get(report.level, "#b2182b")
    parts = [
        f'<p style="font-weight: bold; color: {color}">{html.escape(report.verdict)}</p>',
        html_table([], [list(row) for row in _headline(report)]),
    ]
    for number, (title, header, rows, total) in enumerate(_tables(report)):
        shown = title if total == len(rows) else f"{title} ({len(rows)} of {total})"
        opened = "" if number else " open"
        parts.append(
            f"<details{opened}><summary>{shown}</summary>{html_table(header, rows)}</details>"
        )
    return "<div>" + "".join(parts) + "</div>"
