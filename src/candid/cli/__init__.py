"""The command line. Commands are loaded when they are called, so that `--help` answers at once."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from candid import __version__
from candid.errors import CandidError, GateFailed

__all__ = ["COMMANDS", "candid", "main"]

# name: (module, one line for the list of commands; the modules repeat it as their docstring's first line)
COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("candid.cli.audit", "Measure how far a model can be trusted on your images."),
    "study": ("candid.cli.study", "Ask many models, on many data sets, what calibrates them."),
    "adapt": ("candid.cli.adapt", "Tune a head to your images, or retrain its last layer for the worst group."),
    "compare": ("candid.cli.compare", "Judge generated images against real ones."),
    "reproduce": ("candid.cli.reproduce", "Run a paper's experiments on your own models and images."),
    "embed": ("candid.cli.embed", "Encode images once and save their features."),
    "predict": ("candid.cli.predict", "Label images with a saved predictor, or abstain."),
    "doctor": ("candid.cli.doctor", "Say what is installed, what is missing and how to get it."),
}


class _Lazy(click.Group):
    """A group that knows its commands by name and imports each one on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from candid.errors import nearest

            raise click.UsageError(f"no command named {args[0]}; {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="candid")
def candid() -> None:
    """How far can a vision model's confidence be trusted on your images?

    Start with `candid audit`: without arguments it audits the embedded model on embedded photos.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a gate failed, 2 a mistake of the user's, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    # Read by the frameworks when they are first imported, which is later than this.
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "TRANSFORMERS_NO_ADVISORY_WARNINGS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    debug = "--debug" in arguments
    try:
        candid.main(arguments, prog_name="candid", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as mistake:
        mistake.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was finished is kept and is not done again", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while closing it
        return 0
    except CandidError as mistake:
        if debug:
            raise
        click.echo(f"error: {_one_line(mistake)}", err=True)
        return 1 if isinstance(mistake, GateFailed) else 2
    except Exception as bug:
        if debug:
            raise
        click.echo(f"error: unexpected {type(bug).__name__}: {_one_line(bug)} (--debug shows where)", err=True)
        return 2
    return 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
