"""Times iterations of the released reference; runs inside its own virtual environment.

Started by `step_time.py --against reference`, which sends one JSON request a line on standard input
and reads one JSON answer a line.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def build(request):
    from gmmvi.configs import (
        get_default_algorithm_config,
        get_default_experiment_config,
        update_config,
    )
    from gmmvi.experiments.setup_experiment import init_experiment
    from gmmvi.optimization.gmmvi import GMMVI

    config = update_config(
        get_default_algorithm_config("SAMTRON"),
        get_default_experiment_config(request["experiment"]),
    )
    config = update_config(config, request["config"])
    target, model = init_experiment(config)
    return GMMVI.build_from_config(config, target, model)


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # the reference prints; answers stay clean
    algorithm = None
    for line in sys.stdin:
        request = json.loads(line)
        if "config" in request:
            algorithm = build(request)
        seconds = []
        for _ in range(request["iterations"]):
            start = time.perf_counter()
            algorithm.train_iter()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), file=answers, flush=True)


if __name__ == "__main__":
    main()
