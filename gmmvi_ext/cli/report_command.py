"""`gmmvi-ext report WORKDIR...`: runs side by side, as a table, a picture and one HTML page."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.confined import leading_out
from gmmvi_ext.runs.errors import CommandError, UsageError
from gmmvi_ext.whole_files import make_folder

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Reads the runs, prints the table, writes page and picture."""
    flags = CommandFlags(
        "gmmvi-ext report WORKDIR... [--out FILE.html]",
        "Compares runs: prints a table and writes one self-contained HTML page with overlaid ELBO "
        "curves, and the curves as PNG beside it. The folder of a sweep stands for all its trials. "
        "Nothing in the work directories is run or changed.",
    )
    flags.string("out", "page to write (default report.html)", "FILE.html")
    flags.boolean("allow_outside", "follow links that lead out of the work directories")
    parsed = flags.parse(arguments)
    if parsed is None:
        return 0
    values, folders = parsed
    if not folders:
        raise UsageError("no work directory given; usage: gmmvi-ext report WORKDIR...")
    out = Path(values["out"] or "report.html")
    if out.suffix != ".html":
        raise UsageError(f"--out {out}: expected the name of an .html file.")
    from gmmvi_ext.runs.compare import find_runs, run_names, short_headings, table_rows
    from gmmvi_ext.runs.page import write_page

    try:
        records = find_runs(folders, allow_outside=values["allow_outside"])
    except FileNotFoundError as error:
        raise CommandError(str(error)) from None
    if not values["allow_outside"]:
        for words in itertools.chain(*map(leading_out, folders)):
            print(f"note: {words}: left out; --allow_outside follows it.", file=sys.stderr)
    for reason in itertools.chain(*(record.troubles for record in records)):
        print(f"note: {reason}.", file=sys.stderr)
    rows = table_rows(records, run_names(records))
    shown = [key for key in short_headings(records) if key in rows[0]]
    sys.stdout.write(_text([{key: row[key] for key in shown} for row in rows]))
    try:
        make_folder(out.parent)
        page, picture = write_page(out, records)
    except OSError as error:
        raise CommandError(f"--out {out}: cannot be written ({error.strerror or error}).") from None
    print(f"page: {page}\npicture: {picture}")
    return 0


def _text(rows: list[dict[str, str]]) -> str:
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    lines = [{key: key for key in rows[0]}, *rows]
    return "".join(
        "  ".join(f"{row[key]:<{width}}" for key, width in widths.items()).rstrip() + "\n"
        for row in lines
    )
