"""The steps of a training, for every base family and domain. Stateless in randomness: step k draws from (seed, k)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import buckets, checkpoint, optimizers
from synthgen.progress import Progress
from synthgen.training_check import Check, beyond, stalled
from synthgen.training_crew import Crew

PRESERVED_PER_BATCH = 2  # pictures of the class, drawn by the base itself, that must not change
PRESERVED_SHARE = 0.5  # how much they count beside the product
KEPT_DRAWS = 128  # moments and noises at which the base is asked about them
CHECKED = 12  # learned photos that a check looks at
PAUSE = 20  # steps between checks at least
CHECK_TIMES = (0.9, 0.65, 0.4, 0.15)  # of the schedule, for the validation loss; noise is fixed too


@dataclass(frozen=True)
class Kept:
    """Pictures of the class by the base itself, and what it predicts of them at some moments: what must not change.

    Asked once before training: later the base would have to be asked again at every step.
    """

    latents: Any  # (n, c, h, w)
    words: Any  # n rows
    rows: Any  # (m,) int64: the picture of each draw
    moments: Any  # (m,) int64
    noise: Any  # (m, c, h, w)
    target: Any  # (m, c, h, w): the base's prediction
    texts: tuple[str, ...] = ()  # n, for text encoders that learn

    @classmethod
    def ask(cls, base: Any, latents: Any, words: Any, seed: int, texts: Sequence[str] = ()) -> Kept:
        """Ask the base, which has no adapter yet. `texts` are what the words were read from."""
        import torch

        rng = np.random.default_rng([seed, 31])
        rows = torch.arange(KEPT_DRAWS) % len(latents)
        moments, noise = _drawn(latents[rows], base.train_steps, rng)
        parts = torch.arange(KEPT_DRAWS).split(base.family.BATCH)
        target = torch.cat([
            base.prediction(latents[rows[part]], words[rows[part]], moments[part], noise[part]) for part in parts
        ])  # fmt: skip
        return cls(latents, words, rows, moments, noise, target, tuple(texts))


@dataclass(frozen=True)
class Material:
    """All that the loop reads, encoded once. Latents (n, c, h, w), words (n, tokens, width), both float32.

    Latents of photos in several shapes are `buckets.Shelves`, and so is how much their places count.
    """

    latents: Any
    words: Any
    held_latents: Any
    held_words: Any
    kept: Kept
    held_units: tuple[int, ...]  # photo of each held-out view
    firsts: tuple[int, ...]  # rows of `latents` that are photos as they are: checks take a dozen of them
    apart: bool  # whether held-out views are of photos that were not learned from
    where: Any = None  # how much each place of `latents` counts, or None
    held_where: Any = None
    texts: tuple[str, ...] = ()  # what `words` were read from, for text encoders that learn
    held_texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rows:
    """What a step asks the network about, a row for each picture of one shape."""

    latents: Any
    words: Any  # rows of the loop's words
    moments: Any
    noise: Any
    where: Any  # or None
    target: Any

    def of(self, rows: Any) -> _Rows:
        """Some of them."""
        return _Rows(*(None if value is None else value[rows] for value in self._values()))

    def with_rows(self, others: _Rows) -> _Rows:
        """These and then the others."""
        import torch

        pairs = zip(self._values(), others._values(), strict=True)
        return _Rows(*(None if own is None else torch.cat([own, more]) for own, more in pairs))

    def _values(self) -> tuple[Any, ...]:
        return self.latents, self.words, self.moments, self.noise, self.where, self.target


class Watch:
    """What looks on while a training runs. Each of these may do nothing."""

    def stepped(self, loop: Loop, step: int, loss: float) -> None:
        """After each step; `step` counts from 0."""

    def checked(self, loop: Loop, losses: checkpoint.Losses) -> bool:
        """After each check, the judged weights in place; True ends the training there."""
        return False


class Loop:
    """The steps themselves. Stateless in its randomness: step k draws from (seed, k)."""

    def __init__(
        self, base: Any, material: Material, settings: checkpoint.Settings, crew: Crew | None = None, pause: int = 0
    ) -> None:
        """
        crew   the processes that train together; None: this one alone
        pause  steps between checks; 0: as the material asks for
        """
        import torch

        self.base, self.material, self.settings = base, material, settings
        self.crew = crew or Crew()
        torch.manual_seed(settings.seed)
        self.parameters = base.add_adapter(
            settings.rank, settings.alpha, settings.method, settings.targets, settings.text_encoder
        )
        self.crew.same(self.parameters)
        learning = optimizers.groups(settings.optimizer, self.parameters)
        self.optimizer = optimizers.build(settings.optimizer, learning, settings.learning_rate)
        if hasattr(self.optimizer, "train"):
            self.optimizer.train()
        self.averages: dict[str, Any] = {}
        self.words = material.words.joined(material.kept.words)
        self.texts = (*material.texts, *material.kept.texts)  # what those were read from
        self.epoch = pause or epoch(material, settings.batch)

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
        end = self.settings.ends or self.settings.steps
        with Progress(end, what, "steps", already=first) as progress:
            for step in range(first, end):
                if losses.ended or (not self.settings.ends and stalled(losses.checks, self.settings.patience)):
                    break
                losses.training.append(round(self.step(step), 5))
                for watch in watches:
                    watch.stepped(self, step, losses.training[-1])
                last = step + 1 == end
                if (step + 1) % self.epoch == 0 or last:
                    with self._judged():
                        check = self._capped(self.check(step + 1), losses.checks[0])
                        losses.note(check, self.parameters, self.settings.ends)
                        ended = any([check.beyond, *(watch.checked(self, losses) for watch in watches)])
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
            group["lr"] = self.settings.learning_rate * share * group.get("share", 1.0)
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

        rng, of, kept = np.random.default_rng([self.settings.seed, step, 5]), self.material, self.material.kept
        product = max(1, self.settings.batch - PRESERVED_PER_BATCH)
        chosen = self._drawn_rows(rng, product)
        latents = of.latents[chosen]
        moments, noise = _drawn(latents, self.base.train_steps, rng)
        drawn = torch.from_numpy(rng.integers(len(kept.rows), size=PRESERVED_PER_BATCH))
        share = [1 / product] * product + [PRESERVED_SHARE / len(drawn)] * len(drawn)
        rows = torch.tensor(self.crew.mine(len(share)), dtype=torch.long)
        if not len(rows):
            return torch.zeros((), device=noise.device)
        seen = _Rows(
            latents, self._said(chosen, step), moments, noise, None if of.where is None else of.where[chosen],
            self.base.process.target(latents, noise, moments),
        )  # fmt: skip
        taken = kept.rows[drawn]
        picture = kept.latents[taken]
        alike = latents.shape[1:] == picture.shape[1:]
        evenly = None if seen.where is None or not alike else seen.where.new_ones(len(drawn), *seen.where.shape[1:])
        same = _Rows(picture, len(of.words) + taken, kept.moments[drawn], kept.noise[drawn], evenly, kept.target[drawn])
        if alike:
            losses = self._losses(seen.with_rows(same).of(rows))
        else:  # another shape than the class has: the network is asked twice
            parts = (seen.of(rows[rows < product]), same.of(rows[rows >= product] - product))
            losses = torch.cat([self._losses(part) for part in parts if len(part.latents)])
        return (losses * torch.tensor(share, device=losses.device)[rows]).sum() * self.crew.size

    def _losses(self, of: _Rows) -> Any:
        return self.base.loss(of.latents, self._read(of.words), of.moments, of.noise, of.where, of.target)

    def _read(self, rows: Any) -> Any:
        """The words of these rows; read anew where the text encoders learn."""
        if not self.settings.text_encoder:
            return self.words[rows]
        return _each_once(self.base.read_texts, [self.texts[row] for row in rows.tolist()])

    def _drawn_rows(self, rng: np.random.Generator, count: int) -> Any:
        """(count,) int64: rows of `latents` that are of one shape; of each shape as often as it has rows."""
        import torch

        shapes = buckets.ranges(self.material.latents)
        of = shapes[0]
        if len(shapes) > 1:
            shares = np.array([len(one) for one in shapes], float)
            of = shapes[rng.choice(len(shapes), p=shares / shares.sum())]
        return torch.from_numpy(of.start + rng.integers(len(of), size=count))

    def _said(self, chosen: Any, step: int) -> Any:
        """Rows of `words` for these views; the last row is no words at all, for the share that is learned without."""
        import torch

        share = self.settings.caption_dropout
        if not share:
            return chosen
        silent = np.random.default_rng([self.settings.seed, step, 9]).random(len(chosen)) < share
        return torch.where(torch.from_numpy(silent), len(self.material.latents), chosen)

    def check(self, step: int) -> Check:
        """Losses on held-out and on learned views at fixed moments with fixed noise: comparable from step to step."""

        of = self.material
        words, held_words = of.words, of.held_words
        if self.settings.text_encoder:
            words, held_words = (_each_once(self.base.encode_texts, texts) for texts in (of.texts, of.held_texts))
        held = self._checked(of.held_latents, held_words, of.held_where, range(len(of.held_latents)))
        learned = self._checked(of.latents, words, of.where, sorted(of.firsts[:CHECKED]))
        return Check(step, held, learned)

    def _capped(self, check: Check, first: Check) -> Check:
        """The check, marked where it gives away more than is allowed. A step that was chosen before is not judged."""
        cap = 1.0 if self.settings.ends else self.settings.membership_cap
        return replace(check, beyond=beyond(first, check, self.material.held_units, cap, self.material.apart))

    def _checked(self, latents: Any, words: Any, where: Any, rows: Sequence[int]) -> tuple[float, ...]:
        """The losses of these rows, shape by shape."""
        import torch

        found: list[float] = []
        for places in buckets.sorted_out(latents, rows):
            some = torch.tensor([rows[place] for place in places])
            found += self._fixed(latents[some], words[some], None if where is None else where[some])
        return tuple(found)

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


def _each_once(read: Callable[[list[str]], Any], texts: Sequence[str]) -> Any:
    """What `read` makes of these texts, a row for each; it is given each text once."""
    import torch

    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return read(list(places))[torch.tensor([places[text] for text in texts])]


def epoch(material: Material, batch: int) -> int:
    """Steps between checks: as many as see every view about once, PAUSE at least."""
    return max(PAUSE, math.ceil(len(material.latents) / batch))


def _drawn(latents: Any, steps: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """(moments, noise) for these latents: moments one in each of as many equal parts of the schedule."""
    import torch

    count = len(latents)
    spread = (rng.permutation(count) + rng.random(count)) / count * steps
    noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), dtype=np.float32)).to(latents.device)
    return torch.from_numpy(spread.astype(np.int64)).to(latents.device), noise
