"""What every command has: a promise, an example, --debug, and a word on what is kept when it is stopped."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from synthgen.errors import SynthgenError
from synthgen.licenses import READINGS, USES
from synthgen.types import Verdict

Body = Callable[..., Any]

DEBUG = click.Option(["--debug"], is_flag=True, expose_value=False, help="On an error, show where it came from.")

use = click.option(
    "--use",
    default="internal",
    help=f"What the pictures are for, asked of every licence involved: {', '.join(USES)}.",
)
reading = click.option(
    "--reading",
    default="strict",
    help=f"How licences on photos are read: {' or '.join(READINGS)} (training taken for an exception to copyright).",
)
stores = click.option(
    "--store",
    "stores",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    show_default="the picture's own run, else runs/*",
    help="Run to ask about a picture; repeat for more.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


class Stopped(SynthgenError):
    """Ctrl-C. The message says what is kept."""

    exit_code = 130


class Whole(click.ParamType):
    """A whole number of at least `least`."""

    name = "number"

    def __init__(self, least: int, of: str) -> None:
        self.least, self.of = least, of

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.least - 1
        if number < self.least:
            wanted = f"a whole number of {self.of}, {self.least} or more"
            self.fail(f"found '{value}', wanted {wanted}. Nothing was done.", param, ctx)
        return number


def command(name: str, *, example: str, stopped: str) -> Callable[[Body], click.Command]:
    """A click command with what every command has.

    example  the last lines of its help, run by the tests
    stopped  what is kept when it is stopped by Ctrl-C, and how to go on
    """

    def wrap(body: Body) -> click.Command:
        @functools.wraps(body)
        def guarded(*args: Any, **given: Any) -> Any:
            try:
                return body(*args, **given)
            except KeyboardInterrupt:
                raise Stopped(f"\nStopped. {stopped}") from None

        lines = "\n".join(f"  {line}" for line in example.splitlines())
        made = click.command(name, epilog=f"\b\nExample:\n{lines}")(guarded)
        made.params.append(DEBUG)
        return made

    return wrap


def echo_json(result: Mapping[str, Any] | list[Any]) -> None:
    """The one form of JSON on stdout: indented, UTF-8, paths as text."""
    click.echo(json.dumps(result, indent=2, ensure_ascii=False, default=str))


def verdict_lines(verdict: Verdict) -> list[str]:
    """A licence verdict as lines: whether the use is permitted, what decides it, and every limit that comes with it."""
    from synthgen import licenses

    how = "" if verdict.reading == "strict" else f", in the {verdict.reading} reading"
    may = "yes" if licenses.permits(verdict) else "no"
    lines = [f"licence verdict for use '{verdict.use}'{how}: {may} ({verdict.answer})"]
    reasons, others = licenses.decisive(verdict)
    lines += [f"  because {reason}" for reason in reasons]
    lines += [f"  nothing against it in {others} more (--json has all)"] if others else []
    lines += [f"  on condition: {condition}" for condition in verdict.conditions]
    lines += [f"  only until {verdict.expires}"] if verdict.expires else []
    limit = verdict.revenue_limit_usd
    lines += [f"  only up to a revenue of USD {limit:,}"] if limit is not None else []
    lines += [f"  to be shared under {' and '.join(verdict.share_alike)}"] if verdict.share_alike else []
    return lines + ([f"  not for: {', '.join(verdict.prohibited_uses)}"] if verdict.prohibited_uses else [])
