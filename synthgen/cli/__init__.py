"""The command line: parse, call one function, print one result.

stdout is the result (a path, a table, or JSON with --json); everything else goes to stderr.

Exit codes
  0    done
  1    the run failed; what is finished is kept
  2    the request is wrong; nothing was changed
  3    a licence or a gate says no
  130  stopped by Ctrl-C; the line on stderr says what is kept
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from synthgen import __version__
from synthgen.cli.command import DEBUG, Stopped
from synthgen.errors import SynthgenError, UnknownName

COMMANDS = {  # name -> module:object; a module is imported when its command is asked for, and none imports torch
    "train-product": "train:train_product",
    "train-character": "train:train_character",
    "train-condition": "train:train_condition",
    "tune": "tune:tune",
    "generate": "generate:generate",
    "export": "export:export",
    "ingest": "export:ingest",
    "evaluate": "evaluate:evaluate",
    "report": "evaluate:report",
    "selfcheck": "selfcheck:selfcheck",
    "samples": "samples:samples",
    "list": "listing:list_members",
    "show": "listing:show",
    "check": "listing:check",
    "copy": "listing:copy",
    "licenses": "licenses:licenses",
    "adapters": "adapters:adapters",
    "doctor": "doctor:doctor",
    "bases": "bases:bases",
    "verify": "verify:verify",
    "replay": "replay:replay",
    "revoke": "revoke:revoke",
}
STOPPED_EXIT_CODE = Stopped.exit_code
KEPT = "What is finished is kept; run the same command again"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


class Commands(click.Group):
    """The commands in the order of a journey, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(importlib.import_module(f"synthgen.cli.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(str(UnknownName("synthgen", args[0], COMMANDS)))
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    params=[DEBUG],
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110},
    epilog="\b\nExample:\n  synthgen train-product --images shirts/\n  synthgen generate --count 500",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def synthgen() -> None:
    """Make synthetic, labelled, licensed pictures from a few photos.

    Train an adapter on photos of a product, then generate a data set in which every picture carries its labels, its
    origin and its licence. Results go to stdout, everything else to stderr.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    if not sys.warnoptions and "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # what libraries tell their developers is not for the user of a command
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs one command; says on stderr what went wrong, in one line, and gives the exit code."""
    try:
        code = synthgen.main(args=list(arguments), prog_name="synthgen", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more as it ends
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        text, exit_code = explain(error)
        click.echo(text, err=True)
        return exit_code


def explain(error: Exception) -> tuple[str, int]:
    """What to tell the user of an error, and the exit code."""
    if isinstance(error, click.Abort):
        return "Stopped before anything was begun.", STOPPED_EXIT_CODE
    if isinstance(error, Stopped):
        return str(error), error.exit_code
    if isinstance(error, SynthgenError):
        return f"Error: {error}", error.exit_code
    if isinstance(error, click.ClickException):
        more = f" See {error.ctx.command_path} --help." if isinstance(error, click.UsageError) and error.ctx else ""
        return f"Error: {error.format_message()}{more}", error.exit_code
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        where = f" that holds {error.filename}" if error.filename else ""
        return f"Error: the disk{where} is full. {KEPT} once there is room.", 1
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        where = error.filename or "a file"
        return f"Error: cannot write {where}: {error.strerror}. Choose another place; nothing there was changed.", 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, told without torch
        return f"Error: out of memory. {KEPT} with a smaller --batch-size.", 1
    what = f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
    return f"Error: this is a bug in synthgen: {what}. Run it again with --debug to see where.", 1
