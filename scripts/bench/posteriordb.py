"""Fits every program of a checkout of stan-dev/posteriordb and compares with its reference draws.

    git clone https://github.com/stan-dev/posteriordb
    python scripts/bench/posteriordb.py --posteriordb posteriordb --out posteriordb.jsonl
    python scripts/bench/posteriordb.py --posteriordb posteriordb --out posteriordb.jsonl --table

Each posterior is compiled and fitted with all defaults in a process of its own, so that one that
hangs or crashes costs nothing else; one line of JSON each goes to `--out`, and what is there is not
done again. Errors are largest over all numbers of the reference: of means and central second
moments (as log ratio of standard deviations) in reference standard deviations, of 5 and 95 %
quantiles likewise. `--nuts` runs PyStan's NUTS beside (4 x 1000).
"""

import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import time
import zipfile

import numpy as np

LEVELS = (0.05, 0.95)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--posteriordb", type=pathlib.Path, required=True, help="the checkout")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="lines of JSON")
    parser.add_argument("--only", default="", help="names that contain one of these, by commas")
    parser.add_argument("--stop_after", type=float, default=1e9, help="seconds; none begins after")
    parser.add_argument("--all", action="store_true", help="also those without reference draws")
    parser.add_argument("--others", action="store_true", help="those without reference draws alone")
    parser.add_argument("--max_seconds", type=float, default=None, help="of a fit")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds of a process")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    parser.add_argument("--backend", default="auto", help="of from_stan; auto: see there")
    parser.add_argument("--nuts", action="store_true", help="PyStan's NUTS as well")
    parser.add_argument("--table", action="store_true", help="print what is there as Markdown")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        settings = {"max_seconds": args.max_seconds, "backend": args.backend, "nuts": args.nuts}
        print(json.dumps(measure(args.posteriordb, args.one, **settings)))
        return
    if args.table:
        print(table(read(args.out)))
        return
    done = {row["name"] for row in read(args.out)}
    names = posteriors(args.posteriordb, every=args.all)
    if args.others:
        compared = posteriors(args.posteriordb, every=False)
        names = [n for n in posteriors(args.posteriordb, every=True) if n not in compared]
    chosen = [n for part in args.only.split(",") for n in names if part in n]
    waiting = [n for n in dict.fromkeys(chosen) if n not in done]
    stop = time.time() + args.stop_after

    def in_time(name):
        return apart(args, name) if time.time() < stop else None

    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        for row in filter(None, pool.map(in_time, waiting)):
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row["name"], row.get("level"), row.get("error", "")[:150], flush=True)


def database(checkout: pathlib.Path) -> pathlib.Path:
    return checkout / "posterior_database"


def posteriors(checkout: pathlib.Path, *, every: bool) -> list[str]:
    """Names, those with little data first."""
    found = sorted((database(checkout) / "posteriors").glob("*.json"))
    about = [json.loads(path.read_text()) for path in found]
    chosen = [each for each in about if every or each.get("reference_posterior_name")]

    def size(each):
        path = database(checkout) / "data" / "data" / f"{each['data_name']}.json.zip"
        return path.stat().st_size if path.exists() else 0

    return [each["name"] for each in sorted(chosen, key=size)]


def apart(args, name: str) -> dict:
    """`measure` in another process."""
    command = [sys.executable, __file__, "--posteriordb", args.posteriordb, "--out", args.out]
    command += ["--one", name, "--backend", args.backend, *(["--nuts"] if args.nuts else [])]
    command += [] if args.max_seconds is None else ["--max_seconds", str(args.max_seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.limit)
    except subprocess.TimeoutExpired:
        return {"name": name, "error": f"not finished in {args.limit:g} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        return json.loads(lines[-1])
    return {"name": name, "error": done.stderr.strip()[-500:] or f"exit status {done.returncode}"}


def measure(checkout: pathlib.Path, name: str, *, max_seconds, backend: str, nuts: bool) -> dict:
    """One posterior: compiled, fitted, judged, compared."""
    import gmmvi_ext

    base = database(checkout)
    about = json.loads((base / "posteriors" / f"{name}.json").read_text())
    code = (base / "models" / "stan" / f"{about['model_name']}.stan").read_text()
    row = {"name": name}
    try:
        data = read_zip(base / "data" / "data" / f"{about['data_name']}.json.zip")
        begin = time.time()
        target = gmmvi_ext.from_stan(code, data, backend=backend)
        row["compile_seconds"] = round(time.time() - begin, 1)
        row["num_dimensions"] = target.num_dimensions
        row["transforms"] = type(target.layout).__name__
        begin, cpu = time.time(), time.process_time()
        posterior = gmmvi_ext.fit(target, verbose=False, max_seconds=max_seconds)
        row["seconds"] = round(time.time() - begin, 1)
        row["cpu_seconds"] = round(time.process_time() - cpu, 1)
        begin = time.time()
        report = posterior.report()
        row["report_seconds"] = round(time.time() - begin, 1)
        row["stop_reason"] = posterior.run_info.get("stop_reason")
        row["num_exceptions"] = target.num_exceptions
        row |= {k: getattr(report, k) for k in ("level", "trust", "verdict", "khat", "num_modes")}
        row |= {"ess": report.ess / report.num_samples, "num_components": report.num_components}
        row |= {"evaluations": posterior.run_info.get("num_target_evaluations")}
        draws = posterior.reweight(5000) if report.level == "reweight" else posterior.sample(20_000)
        row |= errors(flat(draws), reference(base, about))
        if nuts:
            row |= nuts_row(code, data, reference(base, about))
    except (ImportError, RuntimeError, ValueError, OSError) as error:
        row["error"] = f"{type(error).__name__}: {error}"
    return row


def flat(draws: dict) -> dict[str, np.ndarray]:
    """Columns under the names of the reference draws: `theta[1]`, `L[2,1]`."""
    columns = {}
    for name, value in draws.items():
        for index in np.ndindex(*value.shape[1:]):
            label = f"[{','.join(str(i + 1) for i in index)}]" if index else ""
            columns[f"{name}{label}"] = value[(slice(None), *index)]
    return columns


def reference(base: pathlib.Path, about: dict) -> dict[str, np.ndarray] | None:
    name = about.get("reference_posterior_name")
    path = base / "reference_posteriors" / "draws" / "draws" / f"{name}.json.zip"
    if not (name and path.exists()):  # accel_gp names draws that the database does not have
        return None
    chains = read_zip(path)
    return {key: np.concatenate([chain[key] for chain in chains]) for key in chains[0]}


def errors(found: dict, wanted: dict | None) -> dict:
    """Largest errors over what both have."""
    if wanted is None:
        return {}
    names = [n for n in wanted if n in found and np.std(wanted[n]) > 0]
    sd = {n: np.std(wanted[n]) for n in names}
    quantile = {
        level: max(
            abs(np.quantile(found[n], level) - np.quantile(wanted[n], level)) / sd[n] for n in names
        )
        for level in LEVELS
    }
    return {
        "num_compared": len(names),
        "mean_error": max(abs(np.mean(found[n]) - np.mean(wanted[n])) / sd[n] for n in names),
        "log_sd_error": max(abs(np.log(np.std(found[n]) / sd[n])) for n in names),
        **{f"q{round(100 * level)}_error": value for level, value in quantile.items()},
    }


def nuts_row(code: str, data: dict, wanted: dict | None) -> dict:
    import stan

    model = stan.build(code, data=data, random_seed=1)
    begin = time.time()
    fit = model.sample(num_chains=4, num_samples=1000)
    seconds = time.time() - begin
    draws = {name: np.moveaxis(fit[name], -1, 0) for name in model.param_names}
    draws = {
        name: value[:, 0] if value.shape[1:] == (1,) else value for name, value in draws.items()
    }
    found = {f"nuts_{key}": value for key, value in errors(flat(draws), wanted).items()}
    return {"nuts_seconds": round(seconds, 1), **found}


def read_zip(path: pathlib.Path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(archive.namelist()[0]))


def read(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict]) -> str:
    head = ("posterior", "D", "compile s", "fit s (CPU)", "evaluations", "K", "verdict", "k-hat")
    head += ("mean error", "log sd", "5 %", "95 %")
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['name']} | " + row["error"].split("\n")[0][:120])
            continue
        keys = ("mean_error", "log_sd_error", "q5_error", "q95_error")
        worst = [f"{row[key]:.3f}" if key in row else "-" for key in keys]
        cells = [row["name"], row["num_dimensions"], row["compile_seconds"]]
        cells += [f"{row['seconds']:.0f} ({row['cpu_seconds']:.0f})", row["evaluations"]]
        cells += [row["num_components"], row["level"], f"{row['khat']:.2f}", *worst]
        lines.append(" | ".join(map(str, cells)))
    trusted = [row for row in rows if row.get("trust")]
    compared = [row for row in trusted if "mean_error" in row]
    worst = max((row["mean_error"] for row in compared), default=float("nan"))
    lines.append(
        f"\n{len(rows)} posteriors, {len(trusted)} trusted, {len(compared)} of these compared: "
        f"worst mean error {worst:.3f} sd."
    )
    return "\n".join(f"| {line} |" if " | " in line else line for line in lines)


if __name__ == "__main__":
    main()
