"""The steps of a training, for every base family and domain. Stateless in randomness: step k draws from (seed, k)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import checkpoint, optimizers
from synthgen.progress import Progress
from synthgen.training_check import Check, stalled
from synthgen.training_crew import Crew

PRESERVED_PER_BATCH = 2  # pictures of the class, drawn by the base itself, that must not change
CHECKED = 12  # learned photos that a check looks at
PAUSE = 20  # steps between checks at least
CHECK_TIMES = (0.9, 0.65, 0.4, 0.15)  # of the schedule, for the validation loss; noise is fixed too


@dataclass(frozen=True)
class Material:
    """All that the loop reads, encoded once. Latents (n, c, h, w), words (n, tokens, width), both float32."""

    latents: Any
    words: Any
    held_latents: Any
    held_words: Any
    kept_latents: Any  # pictures of the class by the base itself
    kept_words: Any
    held_units: tuple[int, ...]  # photo of each held-out view
    firsts: tuple[int, ...]  # rows of `latents` that are photos as they are: checks take a dozen of them
    apart: bool  # whether held-out views are of photos that were not learned from
    where: Any = None  # how much each place of `latents` counts, or None
    held_where: Any = None


class Watch:
    """What looks on while a training runs. Each of these may do nothing."""

    def stepped(self, loop: Loop, step: int, loss: float) -> None:
        """After each step; `step` counts from 0."""

    def checked(self, loop: Loop, losses: checkpoint.Losses) -> bool:
        """After each check, the judged weights in place; True ends the training there."""
        return False


class Loop:
    """The steps themselves. Stateless in its randomness: step k draws from (seed, k)."""

    def __init__(self, base: Any, material: Material, settings: checkpoint.Settings, crew: Crew | None = None) -> None:
        """crew  the processes that train together; None: this one alone"""
        import torch

        self.base, self.material, self.settings = base, material, settings
        self.crew = crew or Crew()
        torch.manual_seed(settings.seed)
        self.parameters = base.add_adapter(settings.rank, settings.alpha, settings.method, settings.targets)
        self.crew.same(self.parameters)
        self.optimizer = optimizers.build(settings.optimizer, self.parameters.values(), settings.learning_rate)
        if hasattr(self.optimizer, "train"):
            self.optimizer.train()
        self.averages: dict[str, Any] = {}
        self.epoch = max(PAUSE, math.ceil(len(material.latents) / settings.batch))

    def run(self, folder: Path, watches: Sequence[Watch] = (), what: str = "train") -> checkpoint.Losses:
        """Train to the end and leave the best weights, by validation loss, in the base.

        watches  each is told of every step and check, and may end the training at a check
        what     what the line of progress calls it
        """
        self.crew.wait()  # all read the same checkpoint
        losses, first = checkpoint.load(folder, self.parameters, self.optimizer)
        watches = watches if self.crew.main else ()
        if not losses.checks:
            losses.note(self.check(0), self.parameters)
        self.averages = losses.averages
        with Progress(self.settings.steps, what, "steps", already=first) as progress:
            for step in range(first, self.settings.steps):
                if losses.ended or stalled(losses.checks, self.settings.patience):
                    break
                losses.training.append(round(self.step(step), 5))
                for watch in watches:
                    watch.stepped(self, step, losses.training[-1])
                last = step + 1 == self.settings.steps
                if (step + 1) % self.epoch == 0 or last:
                    with self._judged():
                        losses.note(self.check(step + 1), self.parameters)
                        ended = any([watch.checked(self, losses) for watch in watches])
                    losses.ended = self.crew.agreed(ended)
                    if self.crew.main:
                        checkpoint.save(folder, step + 1, self.parameters, self.optimizer, losses)
                progress.step(1, f"loss {losses.training[-1]:.3f}, held-out {losses.checks[-1].loss:.4f}")
        with self._judged():
            losses.keep_last(self.parameters)
        losses.restore(self.parameters)
        return losses

    def step(self, step: int) -> float:
        """One step of the optimizer; the loss before it."""
        import torch

        share = optimizers.schedule(self.settings.optimizer, step, self.settings.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share
        loss = self.step_loss(step)
        self.optimizer.zero_grad()
        if loss.requires_grad:  # a process may have no row of a small batch
            loss.backward()
        told = self.crew.mean(self.parameters, loss)
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        self._average(step)
        return told

    def _average(self, step: int) -> None:
        """The mean of the weights over the steps, the latest counting most; its memory grows as training does."""
        if not self.settings.ema:
            return
        kept = min(self.settings.ema, (1 + step) / (10 + step))
        for name, value in self.parameters.items():
            if name in self.averages:
                self.averages[name].lerp_(value.detach(), 1 - kept)
            else:
                self.averages[name] = value.detach().clone()

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """The weights that are judged and kept, in place of those that are trained: their mean, where one is taken."""
        trained = {name: value.detach().clone() for name, value in self.parameters.items()} if self.averages else {}
        if trained:
            checkpoint.put(self.parameters, self.averages)
        if hasattr(self.optimizer, "eval"):
            self.optimizer.eval()
        try:
            yield
        finally:
            if hasattr(self.optimizer, "train"):
                self.optimizer.train()
            if trained:
                checkpoint.put(self.parameters, trained)

    def step_loss(self, step: int) -> Any:
        """Loss of one batch: the product's views, and the class as the base itself sees it.

        Of several processes, each has the loss of its rows; the mean over the processes is that of the batch.
        """
        import torch

        rng = np.random.default_rng([self.settings.seed, step, 5])
        product = max(1, self.settings.batch - PRESERVED_PER_BATCH)
        chosen = torch.from_numpy(rng.integers(len(self.material.latents), size=product))
        drawn = self._draw(self.material.latents[chosen], self.material.words[self._said(chosen, step)], rng)
        where = None if self.material.where is None else self.material.where[chosen]
        loss = self._mean(self.base.loss, drawn, where)
        kept = torch.from_numpy(rng.integers(len(self.material.kept_latents), size=PRESERVED_PER_BATCH))
        others = self._draw(self.material.kept_latents[kept], self.material.kept_words[kept], rng)
        return loss + 0.5 * self._mean(self.base.preservation_loss, others)

    def _mean(self, of: Callable[..., Any], drawn: tuple[Any, ...], where: Any = None) -> Any:
        """The mean error of drawn rows; of several processes, this one's part of it times their number."""
        import torch

        more = () if where is None else (where,)
        if self.crew.size == 1:
            return of(*drawn, *more).mean()
        count, rows = len(drawn[0]), self.crew.mine(len(drawn[0]))
        if not rows:
            return torch.zeros((), device=drawn[0].device)
        taken = torch.tensor(rows)
        return of(*(part[taken] for part in (*drawn, *more))).sum() * (self.crew.size / count)

    def _said(self, chosen: Any, step: int) -> Any:
        """Rows of `words` for these views; the last row is no words at all, for the share that is learned without."""
        import torch

        share = self.settings.caption_dropout
        if not share:
            return chosen
        silent = np.random.default_rng([self.settings.seed, step, 9]).random(len(chosen)) < share
        return torch.where(torch.from_numpy(silent), len(self.material.latents), chosen)

    def _draw(self, latents: Any, words: Any, rng: np.random.Generator) -> tuple[Any, Any, Any, Any]:
        import torch

        count = len(latents)
        spread = (rng.permutation(count) + rng.random(count)) / count * self.base.train_steps
        noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), dtype=np.float32)).to(latents.device)
        return latents, words, torch.from_numpy(spread.astype(np.int64)).to(latents.device), noise

    def check(self, step: int) -> Check:
        """Losses on held-out and on learned views at fixed moments with fixed noise: comparable from step to step."""
        import torch

        of = self.material
        firsts = torch.tensor(of.firsts[:CHECKED])
        held = self._fixed(of.held_latents, of.held_words, of.held_where)
        learned = self._fixed(of.latents[firsts], of.words[firsts], None if of.where is None else of.where[firsts])
        return Check(step, held, learned)

    def _fixed(self, latents: Any, words: Any, where: Any) -> tuple[float, ...]:
        """The loss of each row, the mean over CHECK_TIMES."""
        import torch

        rng = np.random.default_rng([self.settings.seed, 77])
        taken = torch.tensor(self.crew.mine(len(latents)), dtype=torch.long)
        total = torch.zeros(len(taken))
        latents_here, words_here = latents[taken], words[taken]
        where_here = None if where is None else where[taken]
        for time_share in CHECK_TIMES:
            noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), dtype=np.float32))[taken]
            moment = torch.full((len(taken),), int(time_share * self.base.train_steps), device=latents.device)
            if len(taken):
                with torch.no_grad():
                    told = self.base.loss(latents_here, words_here, moment, noise.to(latents.device), where_here)
                total += told.float().cpu()
        found = [round(float(value), 6) for value in total / len(CHECK_TIMES)]
        return tuple(self.crew.gathered(found, len(latents)))
