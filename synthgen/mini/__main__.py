"""Makes mini again: render its world, train its parts, look at the result, write the bundle.

python -m synthgen.mini all --minutes 600        everything, in a work folder; killed at any moment, it goes on
python -m synthgen.mini evaluate                 what the shipped weights reach
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen import resources

if TYPE_CHECKING:
    from synthgen.mini.model_card import Stage
    from synthgen.mini.models import Parts

SHARES = {
    "autoencoder": 0.3,
    "words": 0.07,
    "denoiser": 0.53,
    "guidance": 0.1,
}  # of the minutes; rendering comes on top
GUIDANCE_RATE = 4e-4  # learning rate: the pupil begins as its teacher
WORK = click.option(
    "--work", type=click.Path(path_type=Path), default=Path("build/mini"), show_default=True,
    help="Renders, latents and checkpoints.",
)  # fmt: skip


DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
BATCH = click.option(
    "--batch", type=click.IntRange(1), default=None, show_default="small, as fits a CPU", help="Pictures per step."
)
FRESH = click.option("--fresh", is_flag=True, help="Start from nothing, not from the shipped weights.")


@click.group(context_settings={"max_content_width": 110})
def main() -> None:
    """Render, train, evaluate and bundle the embedded base."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@main.command()
@WORK
@click.option("--count", type=click.IntRange(1), default=12000, show_default=True, help="Renders, in shards of 500.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
def render(work: Path, count: int, workers: int) -> None:
    """Render the training set; shards that are there are kept.

    Example: python -m synthgen.mini render --count 12000
    """
    from synthgen.mini import dataset

    for shard in dataset.render_many(work / "renders", -(-count // dataset.SHARD), workers):
        click.echo(f"rendered {shard.stem}", err=True)


@main.command()
@WORK
@click.option("--minutes", type=click.FloatRange(min=0.01), required=True, help="Time to train, earlier tries counted.")
@FRESH
@DEVICE
@BATCH
def autoencoder(work: Path, minutes: float, fresh: bool, device: str, batch: int | None) -> None:
    """Train the autoencoder on renders and procedural textures; the shipped one is refined unless told otherwise.

    Example: python -m synthgen.mini autoencoder --minutes 30
    """
    from synthgen.mini import autoencoder as trainer
    from synthgen.mini import model_card, models

    _prepare_torch()
    budget = trainer.Budget(minutes, device=device, batch_factor=max(1, (batch or 8) // 8))
    start = None if fresh or not _shipped() else models.load_bundle(resources.mini_weights()).vae
    vae = trainer.fit(work / "renders", work / "vae.safetensors", budget, start)
    vae.save_pretrained(work / "vae", safe_serialization=True)
    note = "" if start is None else "Refined: its latents were kept near what they were."
    stage = model_card.Stage("autoencoder", minutes, _renders(work), _machine(device), note=note)
    model_card.keep(work / "stages" / "autoencoder", [stage])


@main.command()
@WORK
@click.option("--minutes", type=click.FloatRange(min=0.01), required=True, help="Time to train.")
def words(work: Path, minutes: float) -> None:
    """Teach a fresh text encoder to read captions; `denoiser --fresh` begins from it.

    Example: python -m synthgen.mini words --minutes 12
    """
    from synthgen.mini import model_card
    from synthgen.mini import words as reading

    _prepare_torch()
    parts = _fresh_parts(work)
    reader = reading.Reader(parts.text_encoder, parts.unet.add_embedding, parts.tokenizer)
    share = reading.fit(reader, _rows(work), minutes * 60)
    reading.save(reader, work / "words.safetensors")
    stage = model_card.Stage("words", minutes, _renders(work), _machine("cpu"))
    model_card.keep(work / "stages" / "words", [stage])
    click.echo(f"{share:.3f} of the labels that captions name are read rightly")


@main.command()
@WORK
@click.option("--minutes", type=click.FloatRange(min=0.01), required=True, help="Time to train, earlier tries counted.")
@FRESH
@DEVICE
@BATCH
def denoiser(work: Path, minutes: float, fresh: bool, device: str, batch: int | None) -> None:
    """Train UNet, text encoder and pose ControlNet together, then write the bundle into WORK/weights.

    Example: python -m synthgen.mini denoiser --minutes 90
    """
    from synthgen.mini import denoiser as trainer
    from synthgen.mini import model_card, models

    _prepare_torch()
    parts = _parts(work, fresh)
    before = _before(work, fresh or not _shipped())
    budget = trainer.Budget(minutes, device=device, batch=batch or trainer.Budget(minutes).batch)
    parts = trainer.fit(work / "renders", parts, work / "denoiser.safetensors", budget)
    models.save_bundle(parts, work / "weights")
    told = json.loads((work / "denoiser.json").read_text())
    stage = model_card.Stage("denoiser", minutes, _renders(work), _machine(device), told["step"], told["seen"])
    model_card.write(work / "weights", [*before, stage])
    click.echo(work / "weights")


@main.command()
@WORK
@click.option("--minutes", type=click.FloatRange(min=0.01), required=True, help="Time to train, earlier tries counted.")
@DEVICE
@BATCH
def guidance(work: Path, minutes: float, device: str, batch: int | None) -> None:
    """Build guidance into the UNet of WORK/weights, or of the shipped bundle: one pass draws what two passes drew.

    Example: python -m synthgen.mini guidance --minutes 25
    """
    from synthgen.mini import denoiser as trainer
    from synthgen.mini import guided, model_card, models

    _prepare_torch()
    source = work / "guidance-from"  # a training that goes on has the same teacher, whatever is in WORK/weights by now
    if not (work / "guidance.json").is_file():
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(work / "weights" if (work / "weights").is_dir() else resources.mini_weights(), source)
    teacher = models.load_bundle(source)
    budget = trainer.Budget(minutes, GUIDANCE_RATE, batch or trainer.Budget(minutes).batch, device=device)
    objective = guided.Guided(teacher, device)
    teacher.text_encoder.requires_grad_(False)
    state = work / "guidance.safetensors"
    parts = trainer.fit(work / "renders", guided.with_scale(teacher), state, budget, objective)
    models.save_bundle(parts, work / "weights")
    told = json.loads(state.with_suffix(".json").read_text())
    stage = model_card.Stage("guidance", minutes, _renders(work), _machine(device), told["step"], told["seen"])
    model_card.write(work / "weights", [*model_card.history(source), stage])
    click.echo(work / "weights")


@main.command()
@WORK
@click.option("--minutes", type=click.FloatRange(min=0.01), required=True, help="Time to train.")
@click.option("--count", type=click.IntRange(1), default=14000, show_default=True, help="Renders of its own.")
def judge(work: Path, minutes: float, count: int) -> None:
    """Train the judge that reads labels from pictures, on renders that no generator sees.

    Example: python -m synthgen.mini judge --minutes 20
    """
    from synthgen.mini.judge import training

    _prepare_torch()
    for number in range(-(-count // training.SHARD)):
        training.render_shard(work / "judge-renders", number)
    training.fit(work / "judge-renders", work / "judge.safetensors", minutes)
    click.echo(work / "judge.safetensors")


@main.command()
@WORK
@click.option(
    "--minutes", type=click.FloatRange(min=0.1), default=600, show_default=True, help="Time for all training."
)
@click.option("--count", type=click.IntRange(1), default=40000, show_default=True, help="Renders.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes that render.")
@DEVICE
@BATCH
@click.pass_context
def all(context: click.Context, /, work: Path, minutes: float, count: int, workers: int, **where: Any) -> None:
    """All of it from nothing: renders, autoencoder, denoiser, bundle.

    Example: python -m synthgen.mini all --minutes 600
    """
    context.invoke(render, work=work, count=count, workers=workers)
    context.invoke(autoencoder, work=work, minutes=minutes * SHARES["autoencoder"], fresh=True, **where)
    context.invoke(words, work=work, minutes=minutes * SHARES["words"])
    context.invoke(denoiser, work=work, minutes=minutes * SHARES["denoiser"], fresh=True, **where)


@main.command()
@click.option("--weights", type=click.Path(path_type=Path), default=None, help="A bundle.  [default: the shipped one]")
@click.option(
    "--photos", type=click.Path(path_type=Path, exists=True), multiple=True, help="A folder of photos too; repeats."
)
@click.option("--count", type=click.IntRange(1), default=500, show_default=True, help="Pictures to draw and judge.")
@click.option("--num-inference-steps", "steps", type=click.IntRange(1), default=8, show_default=True)
@click.option("--guidance-scale", "guidance", type=click.FloatRange(min=0), default=3.0, show_default=True)
@click.option("--no-pose", is_flag=True, help="Draw people by their captions alone, without the pose ControlNet.")
@click.option("--sheet", type=click.Path(path_type=Path), default=None, help="Write a sheet of pictures here (PNG).")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write the figures here too (JSON).")
def evaluate(weights: Path | None, photos: tuple[Path, ...], sheet: Path | None, out: Path | None, **how: Any) -> None:
    """How well pictures obey their captions, and how well the autoencoder carries renders and photos it never saw.

    Example: python -m synthgen.mini evaluate --sheet sheet.png
    """
    from synthgen.mini import agreement, evaluation, models

    _prepare_torch()
    parts = models.load_bundle(weights or resources.mini_weights())
    rows, labels = [], []
    for row in evaluation.reconstruction(parts.vae, photos):
        rows.append(row)
        click.echo(f"{row['pictures']:<24} {row['decibels']:5.2f} dB   edges {row['edges']:.2f}   n = {row['count']}")
    sampling = agreement.Sampling(how["steps"], how["guidance"], not how["no_pose"])
    click.echo("\nkind    label        read as asked  95 % interval   judge on renders  always the commonest     n")
    for row in agreement.table(parts, how["count"], sampling):
        labels.append(row)
        between = f"{row['low']:.3f} to {row['high']:.3f}"
        click.echo(
            f"{row['kind']:<7} {row['label']:<12} {row['share']:13.3f}  {between:<15} {row['judge']:16.3f} "
            f"{row['chance']:21.3f} {row['n']:5d}"
        )
    if out:
        command = "python -m synthgen.mini evaluate" + " --photos DIR" * len(photos)
        command += "".join(f" --{key.replace('_', '-')}" for key in ("no_pose",) if how[key])
        told = {
            "command": f"{command} --count {how['count']}",
            "date": datetime.now(UTC).date().isoformat(),
            "num_inference_steps": how["steps"],
            "guidance_scale": how["guidance"],
            "rows": rows,
            "labels": labels,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(told, indent=2) + "\n")
    if sheet:
        from synthgen.mini.sheet import write_sheet

        write_sheet(parts, sheet)
        click.echo(sheet)


def _prepare_torch() -> None:
    """As many threads as cores; denormal numbers, which a training run meets early on, cost a hundredfold."""
    import cv2
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.set_flush_denormal(True)
    cv2.setNumThreads(1)


def _before(work: Path, fresh: bool) -> list[Stage]:
    """What was trained before the denoiser of this work folder began, in order.

    Kept there: a training that goes on may find its own earlier bundle installed, which tells of its first part too.
    """
    from synthgen.mini import model_card

    kept = work / "before"
    if not ((work / "denoiser.json").is_file() and kept.is_dir()):
        stages = [] if fresh else model_card.history(resources.mini_weights())
        for name in ("autoencoder", "words") if fresh else ("autoencoder",):
            stages += [stage for stage in model_card.history(work / "stages" / name) if stage not in stages]
        model_card.keep(kept, stages)
    return model_card.history(kept)


def _renders(work: Path) -> int:
    from synthgen.mini import dataset

    return sum(shard.count for shard in dataset.shards(work / "renders"))


def _machine(device: str) -> str:
    """What trains, as the card says it: the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return device if device != "cpu" else f"{cores} CPU core{'s' if cores > 1 else ''}"


def _shipped() -> bool:
    return (resources.mini_weights() / "model_index.json").is_file()


def _parts(work: Path, fresh: bool) -> Parts:
    """The parts to train: the shipped ones where they are, with the work folder's own autoencoder if there is one."""
    from diffusers import AutoencoderKL

    from synthgen.mini import models

    own = work / "vae" / "config.json"
    if not fresh and _shipped():
        parts = models.load_bundle(resources.mini_weights())
        if own.is_file():
            parts.vae = AutoencoderKL.from_pretrained(work / "vae", use_safetensors=True)
        return parts
    parts = _fresh_parts(work)
    if not own.is_file():
        raise click.UsageError(f"{work} has no autoencoder yet. Train it: python -m synthgen.mini autoencoder.")
    parts.vae = AutoencoderKL.from_pretrained(work / "vae", use_safetensors=True).requires_grad_(False)
    return parts


def _fresh_parts(work: Path) -> Parts:
    """Untrained networks, but for the words where they are learned already; no autoencoder."""
    import torch

    from synthgen.mini import models
    from synthgen.mini import words as reading
    from synthgen.mini.dataset import corpus

    torch.manual_seed(0)
    tokenizer = models.build_tokenizer(corpus(), work / "tokenizer")
    unet, text_encoder = models.build_unet(), models.build_text_encoder(tokenizer)
    learned = work / "words.safetensors"
    if learned.is_file():
        reading.load(learned, text_encoder, unet.add_embedding)
    return models.Parts(None, unet, text_encoder, tokenizer, models.build_controlnet(unet), models.build_scheduler())


def _rows(work: Path) -> list[dict[str, Any]]:
    """Labels of all renders."""
    from synthgen.mini import dataset

    return [row for shard in dataset.shards(work / "renders") for row in shard.rows()]


if __name__ == "__main__":
    main()
