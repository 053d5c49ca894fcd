"""selfcheck: do the metrics say what they should of sets whose answer is known?"""

from __future__ import annotations

from dataclasses import asdict

import click

from synthgen.cli.command import as_json, command, echo_json


@command("selfcheck", example="synthgen selfcheck\nsynthgen selfcheck --json", stopped="Nothing was written.")
@as_json
def selfcheck(as_json: bool) -> None:
    """Test the metrics on sets whose answer is known.

    Ends with exit code 1 where a metric does not notice what was done to a set, or sees what is not there.
    """
    from synthgen import selfcheck as journey
    from synthgen.errors import SynthgenError
    from synthgen.progress import Progress

    with Progress(len(journey.PARTS), "selfcheck", "parts") as progress:
        done = journey.run(progress.step)
    if as_json:
        echo_json([asdict(one) for one in done])
    else:
        for one in done:
            click.echo(f"{'ok    ' if one.passed else 'FAILED'}  {one.metric}: {one.given}: {one.found}")
    failed = [f"{one.metric} ({one.given}: wanted {one.wanted}, found {one.found})" for one in done if not one.passed]
    if failed:
        raise SynthgenError(f"{len(failed)} of {len(done)} checks failed: {'; '.join(failed)}. Do not trust a report.")
