"""Run a paper's experiments on your own models and images."""

import click

from candid.cli.reproducing.at_test_time import c_tpt
from candid.cli.reproducing.energy import energy
from candid.cli.reproducing.noisy_prompts import ptnl


@click.group()
def command() -> None:
    """Run a paper's experiments on your own models and images."""


command.add_command(ptnl)
command.add_command(c_tpt)
command.add_command(energy)
