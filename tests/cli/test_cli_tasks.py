"""Every kind of configuration has somebody who runs it and somebody who exports it."""

import pytest

from gmmvi_ext.cli.tasks import TASKS, task_of
from gmmvi_ext.config.documents import DOCUMENTS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_is_run_and_exported(name):
    assert set(TASKS) == set(DOCUMENTS) and set(TASKS[name]) == {"run", "export"}
    assert all(callable(task_of(DOCUMENTS[name], task)) for task in TASKS[name])
