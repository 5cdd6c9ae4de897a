"""Who else may reach a port that parallel evaluation opens, or is opened by.

TensorFlow's servers and Dask's schedulers run what they are sent, and ask nobody who they are. So
addresses beyond this machine are taken only where they are meant.
"""

import ipaddress
import json
import os
import re

__all__ = ["beyond_this_machine", "listening_note", "worker_addresses"]


def beyond_this_machine(address: str) -> bool:
    """Whether an address is not of this machine's loopback; names other than localhost are.

    Args:
      address: `host:port`, `[host]:port`, with `tcp://` or another protocol before it.
    """
    if address.startswith("inproc://"):  # of this very process
        return False
    host = re.sub(r"^[a-z+]+://", "", address.strip().lower())
    match = re.fullmatch(r"\[(.*)\](:\d+)?|([^:]*)(:\d+)?", host)
    name = host if match is None else match[1] if match[1] is not None else match[3]
    if name == "localhost":
        return False
    try:
        return not ipaddress.ip_address(name).is_loopback
    except ValueError:
        return True


def worker_addresses() -> list[str]:
    """All addresses that TF_CONFIG names."""
    jobs = json.loads(os.environ["TF_CONFIG"])["cluster"]
    found: list = []
    for job in jobs.values():
        # Sparse clusters map numbers to addresses.
        found += job.values() if isinstance(job, dict) else job if isinstance(job, list) else [job]
    return list(map(str, found))


def listening_note(worker: int) -> str:
    """What a worker has to know about the port that TensorFlow opens for it."""
    port = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"][worker].rpartition(":")[2]
    return (
        f"strategy multi_worker: TensorFlow's server listens on port {port} of all network "
        "interfaces, also where TF_CONFIG names 127.0.0.1, and runs what it is sent without asking "
        "who sends it; keep the port closed to others (docs/security.md)"
    )
