"""Settings of the whole suite."""

import os

import pytest
from hypothesis import settings

from candid.cli import main

# Anywhere else each run looks at new examples; a build must not fail by the luck of its draw.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def run(capsys):
    """Runs candid with arguments: (exit code, stdout, stderr)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call
