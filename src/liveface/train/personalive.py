"""Training of the small PersonaLive: its autoencoder, then the three stages.

1. image: single frames of a clip and another frame of it as reference; the noise of a random level is to be seen.
2. appearance: from the reference's own noisy latents, down the sampler's few levels, a random number of steps; the
   picture that is foreseen then is compared with the true one, in pixels, by a critic too. Only the last step learns.
3. stream: windows of frames slide over a clip on the network's own answers; only the modules for time learn.

Notable choices: every stage trains the same `SmallPersonaLive` and starts from the run before it; LPIPS would need a
network of others, so detail is asked for by differences of neighbouring pixels at three scales.

Source: PersonaLive for the stages; ours are sizes, the pixel losses and the start from the reference's latents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import RecipeError
from liveface.nets.personalive.scheduler import add_noise, denoise, signal_shares
from liveface.nets.personalive.small import SmallPersonaLive, SmallSize
from liveface.nets.personalive.stream import Drive, Reference, lead_motion, open_window, push, refer
from liveface.train.loop import CHECKPOINT, Run, averaged_weights
from liveface.train.personalive_data import Faces
from liveface.train.recipe import parse_options

STAGES = ("vae", "image", "appearance", "stream")
SHOWN = 6  # rows of a sheet
HELD_FRAMES = 24  # of each held-out clip that is scored
R1_EVERY = 16  # steps between two looks at the critic's slope


@dataclass(frozen=True, slots=True)
class PersonaLiveOptions:
    """What the recipe's table `[task]` may say.

    Attributes:
        stage: one of `STAGES`.
        pictures: file of `liveface.train.personalive_data`.
        start: run folder of the stage before; empty for the first.
        slope: weight of the neighbour differences beside the mean absolute error.
        critic: weight of the critic's opinion; 0 for none.
        critic_from: step from which on the critic is heard.
        critic_slope: weight of the critic's own slope (R1).
        spread: weight that keeps latents as wide as the noise.
        slides: most slides of a window before the one that learns.
        decay: weight decay.
    """

    stage: str
    pictures: str = "out/personalive.npz"
    start: str = ""
    slope: float = 1.0
    critic: float = 0.05
    critic_from: int = 300
    critic_slope: float = 10.0
    spread: float = 0.01
    slides: int = 3
    decay: float = 0.01

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise RecipeError(f"there is no stage {self.stage!r}; expected {', '.join(STAGES)}.")


class Critic(nn.Module):
    """Real or made, a patch at a time: `[B, 3, H, W]` to `[B, 1, H / 8, W / 8]`."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for outside in (width, 2 * width, 2 * width):
            layers += [nn.Conv2d(inside, outside, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            inside = outside
        self.layers = nn.Sequential(*layers, nn.Conv2d(inside, 1, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)


def picture_loss(found: Tensor, true: Tensor, slope: float) -> Tensor:
    """Mean absolute error of pictures in [-1, 1], and of their neighbour differences at three scales."""
    total = (found - true).abs().mean()
    apart = found - true
    for _ in range(3):
        total = total + slope * (apart.diff(dim=-1).abs().mean() + apart.diff(dim=-2).abs().mean())
        apart = F.avg_pool2d(apart, 2)
    return total


def decibels(found: Tensor, true: Tensor) -> float:
    """PSNR of pictures in [-1, 1]."""
    error = float(((found.clamp(-1, 1) - true) / 2).square().mean())
    return -10 * float(np.log10(max(error, 1e-10)))


class PersonaLiveTask:
    """Networks, optimizers and data of one stage."""

    def __init__(self, run: Run) -> None:
        recipe = run.recipe
        where = f"recipe {recipe.name!r}"
        self.options = parse_options(PersonaLiveOptions, recipe.options, where)
        self._run, self._shares = run, signal_shares().to(run.device)
        network = SmallPersonaLive(parse_options(SmallSize, recipe.network, where)).to(run.device)
        if self.options.start:
            network.load_state_dict(averaged_weights(Path(self.options.start) / CHECKPOINT))
        elif self.options.stage != "vae":
            raise RecipeError(
                f'{where} has no start; expected the run of the stage before, such as start = "runs/vae".'
            )
        self.networks: dict[str, nn.Module] = {"main": network}
        self._network = network
        self._learning = [value for name, value in network.named_parameters() if self._learns(name)]
        for name, value in network.named_parameters():
            value.requires_grad_(self._learns(name))
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(self._learning, recipe.learning_rate, weight_decay=self.options.decay)
        }
        if self.options.critic and self.options.stage in ("appearance", "stream"):
            critic = Critic().to(run.device)
            self.networks["critic"] = critic
            self.optimizers["critic"] = torch.optim.Adam(critic.parameters(), recipe.learning_rate, betas=(0.0, 0.99))
        self.faces = Faces.load(Path(self.options.pictures))
        allowed = ~self.faces.held_out
        if "permissive" not in recipe.groups:
            allowed &= self.faces.open_group
        self._clips = self._usable(allowed, where)
        self._latents: dict[int, Tensor] = {}
        self._random = np.random.default_rng(recipe.seed)

    def _learns(self, name: str) -> bool:
        """Whether a parameter learns in this stage."""
        stage, of_coder, of_time = self.options.stage, name.startswith("vae."), "temporal_modules" in name
        return of_coder if stage == "vae" else of_time if stage == "stream" else not of_coder and not of_time

    def _usable(self, allowed: np.ndarray, where: str) -> list[np.ndarray]:
        """The frames of each clip that this stage can learn from."""
        window = self._network.plan().window
        least = window + 4 * self.options.slides if self.options.stage == "stream" else 1
        members = [np.flatnonzero(self.faces.clip == number) for number in np.flatnonzero(allowed)]
        members = [frames for frames in members if len(frames) >= least]
        if self.options.stage == "stream":
            members = [frames for frames in members if not self.faces.drawn[self.faces.clip[frames[0]]]]
        if not members:
            raise RecipeError(f"{where} finds no clip of {least} frames or more; make the pictures with more frames.")
        return members

    # Data

    def pictures(self, at: np.ndarray) -> Tensor:
        """Stored pictures as `[N, 3, S, S]` in [-1, 1]."""
        chosen = torch.from_numpy(self.faces.pixels[at]).to(self._run.device)
        return chosen.permute(0, 3, 1, 2).float() / 127.5 - 1

    def latents(self, at: np.ndarray) -> Tensor:
        """Latents of stored pictures `[N, C, h, w]`, each encoded once."""
        new = np.array([index for index in at.tolist() if index not in self._latents], np.int64)
        if len(new):
            with torch.no_grad():
                for index, latent in zip(new.tolist(), self._network.vae.encode(self.pictures(new)), strict=True):
                    self._latents[index] = latent
        return torch.stack([self._latents[index] for index in at.tolist()])

    def drive(self, at: np.ndarray, network: SmallPersonaLive) -> Drive:
        """What stored frames drive with."""
        device = self._run.device
        codes = torch.from_numpy(self.faces.codes[at]).to(device)
        return Drive(network.tokens(codes), network.pose_features(torch.from_numpy(self.faces.places[at]).to(device)))

    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and driver frames, one clip each."""
        count = self._run.recipe.batch
        chosen = [self._clips[index] for index in self._random.integers(len(self._clips), size=count)]
        drivers = np.array([frames[self._random.integers(len(frames))] for frames in chosen])
        rest = self.faces.reference[self.faces.clip[drivers]]
        other = np.array([frames[self._random.integers(len(frames))] for frames in chosen])
        return np.where(self._random.random(count) < 0.5, rest, other), drivers

    # Steps

    def step(self, index: int) -> dict[str, float]:
        stage = self.options.stage
        if stage == "vae":
            return self._code()
        if stage == "image":
            return self._see()
        return self._appear(index) if stage == "appearance" else self._slide(index)

    def _learn(self, loss: Tensor) -> None:
        optimizer = self.optimizers["main"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._run.average_gradients(self._learning)
        nn.utils.clip_grad_norm_(self._learning, self._run.recipe.clip)
        optimizer.step()

    def _code(self) -> dict[str, float]:
        """The autoencoder gives pictures back; its latents are kept as wide as the noise."""
        true = self.pictures(self._pairs()[1])
        with self._run.autocast():
            latents = self._network.vae.encode(true)
            found = self._network.vae.decode(latents + 0.05 * torch.randn_like(latents))
        found, latents = found.float(), latents.float()
        spread = (latents.mean((0, 2, 3)).square() + (latents.std((0, 2, 3)) - 1).square()).mean()
        picture = picture_loss(found, true, self.options.slope)
        self._learn(picture + self.options.spread * spread)
        return {
            "picture": float(picture.detach()),
            "spread": float(spread.detach()),
            "psnr": decibels(found.detach(), true),
        }

    def _see(self) -> dict[str, float]:
        """Stage 1: the noise of a random level in single frames."""
        network = self._network
        references, drivers = self._pairs()
        source, target = self.latents(references), self.latents(drivers)
        steps = torch.randint(network.size.noisiest + 1, (len(target),), device=target.device)
        hiss = torch.randn_like(target)
        seen = self._seen(network, source, add_noise(target, hiss, steps, self._shares), steps, drivers)
        loss = F.mse_loss(seen, hiss)
        self._learn(loss)
        return {"noise": float(loss.detach())}

    def _seen(
        self, network: SmallPersonaLive, source: Tensor, noisy: Tensor, steps: Tensor, drivers: np.ndarray
    ) -> Tensor:
        """The noise in single frames `[N, C, h, w]` with references of their own."""
        drive, picture = self.drive(drivers, network), network.picture(source)
        banks = network.reference(source, picture)
        return network.denoiser(
            noisy[:, None], steps[:, None], picture, drive.motion[:, None], drive.pose[:, None], banks, timed=False
        )[:, 0]

    def _appear(self, index: int) -> dict[str, float]:
        """Stage 2: a random number of the sampler's steps from the reference, the last of them learns."""
        network = self._network
        references, drivers = self._pairs()
        source, true = self.latents(references), self.pictures(drivers)
        levels = network.plan(chunk=1, window=4).levels().to(source.device).flip(0)
        sample = add_noise(source, torch.randn_like(source), levels[:1].expand(len(source)), self._shares)
        count = int(self._random.integers(1, len(levels) + 1))
        for number in range(count):
            before = levels[number].expand(len(source))
            after = (levels[number + 1] if number + 1 < len(levels) else levels.new_tensor(-1)).expand(len(source))
            with torch.set_grad_enabled(number == count - 1):
                seen = self._seen(network, source, sample, before, drivers)
                sample, clean = denoise(sample, seen, before, after, self._shares)
        return self._judge(network.vae.decode(clean), true, index)

    def _slide(self, index: int) -> dict[str, float]:
        """Stage 3: a window slides on its own answers; the last slide learns."""
        network, plan = self._network, self._network.plan()
        frames = self._clips[self._random.integers(len(self._clips))]
        slides = int(self._random.integers(self.options.slides + 1))
        begin = int(self._random.integers(len(frames) - plan.window - plan.chunk * slides + 1))
        run = frames[begin : begin + plan.window + plan.chunk * slides]
        with torch.no_grad():
            reference = self._reference(network, int(self.faces.reference[self.faces.clip[run[0]]]))
            drive, target = self.drive(run, network), self.latents(run)
            lead = Drive(*(part[: plan.lead] for part in drive))
            window = open_window(reference, lead, lead.motion[0], torch.randn_like(target[: plan.lead]), plan)
            levels = plan.levels().to(target.device)[: plan.lead]
            hiss = torch.randn_like(target[: plan.lead])
            window = replace(window, latents=add_noise(target[: plan.lead], hiss, levels, self._shares))
        for number in range(slides + 1):
            new = slice(plan.lead + number * plan.chunk, plan.lead + (number + 1) * plan.chunk)
            with torch.set_grad_enabled(number == slides):
                fresh = Drive(*(part[new] for part in drive))
                pushed = push(network.networks, reference, window, fresh, torch.randn_like(target[new]), plan)
                window = pushed.window
        known = target[slides * plan.chunk : slides * plan.chunk + plan.window]
        true = self.pictures(run[slides * plan.chunk : slides * plan.chunk + plan.chunk])
        return self._judge(network.vae.decode(pushed.latents), true, index, F.l1_loss(pushed.foreseen, known))

    def _judge(self, found: Tensor, true: Tensor, index: int, more: Tensor | None = None) -> dict[str, float]:
        """Learn from the difference to the true pictures and from the critic, which learns too."""
        picture = picture_loss(found, true, self.options.slope)
        loss, numbers = picture, {"picture": float(picture.detach()), "psnr": decibels(found.detach(), true)}
        critic = self.networks.get("critic")
        if more is not None:
            loss, numbers["latents"] = loss + more, float(more.detach())
        if critic is not None and index >= self.options.critic_from:
            fooled = F.softplus(-critic(found)).mean()
            loss, numbers["fooled"] = loss + self.options.critic * fooled, float(fooled.detach())
        self._learn(loss)
        if critic is not None:
            numbers["critic"] = self._teach(critic, found.detach(), true, index)
        return numbers

    def _teach(self, critic: nn.Module, made: Tensor, true: Tensor, index: int) -> float:
        optimizer = self.optimizers["critic"]
        optimizer.zero_grad()
        steep = index % R1_EVERY == 0
        true = true.requires_grad_(steep)
        opinion = critic(true)
        loss = F.softplus(-opinion).mean() + F.softplus(critic(made)).mean()
        if steep:
            (slope,) = torch.autograd.grad(opinion.sum(), true, create_graph=True)
            loss = loss + self.options.critic_slope / 2 * R1_EVERY * slope.square().sum((1, 2, 3)).mean()
        loss.backward()
        self._run.average_gradients(critic.parameters())
        optimizer.step()
        return float(loss.detach())

    # Scores

    def _reference(self, network: SmallPersonaLive, at: int) -> Reference:
        latents = self.latents(np.array([at]))
        return refer(network.networks, latents, network.picture(latents))

    @torch.no_grad()
    def play(self, network: SmallPersonaLive, frames: np.ndarray) -> Tensor:
        """A held-out clip streamed from its rest frame: pictures `[T, 3, S, S]`, whole chunks only."""
        plan = network.plan()
        reference = self._reference(network, int(self.faces.reference[self.faces.clip[frames[0]]]))
        still = self.drive(self.faces.reference[self.faces.clip[frames[:1]]], network)
        drive = self.drive(frames, network)
        way = lead_motion(still.motion[0], drive.motion[0], plan.lead)
        lead = Drive(way, lead_motion(still.pose[0], drive.pose[0], plan.lead))
        generator = torch.Generator().manual_seed(0)
        shape = reference.latents.shape[1:]

        def hiss(count: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator).to(reference.latents)

        window, made = open_window(reference, lead, still.motion[0], hiss(plan.lead), plan), []
        chunks = len(frames) // plan.chunk
        for number in range(chunks + plan.delay):
            at = min(number, chunks - 1) * plan.chunk
            fresh = Drive(*(part[at : at + plan.chunk] for part in drive))
            pushed = push(network.networks, reference, window, fresh, hiss(plan.chunk), plan)
            window = pushed.window
            made.append(network.vae.decode(pushed.latents))
        return torch.cat(made[plan.delay :])

    def _held(self) -> list[np.ndarray]:
        """Frames of the held-out clips that were filmed."""
        chosen = np.flatnonzero(self.faces.held_out & ~self.faces.drawn)[:SHOWN]
        return [np.flatnonzero(self.faces.clip == number)[:HELD_FRAMES] for number in chosen]

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """PSNR on held-out clips: of the autoencoder, of the stream, and of the reference standing still."""
        assert isinstance(network, SmallPersonaLive)
        scores: dict[str, list[float]] = {"coded": [], "streamed": [], "still": []}
        for frames in self._held():
            true = self.pictures(frames)
            with torch.no_grad():
                scores["coded"].append(decibels(network.vae.decode(network.vae.encode(true)), true))
            if self.options.stage != "vae":
                made = self.play(network, frames)
                scores["streamed"].append(decibels(made, true[: len(made)]))
                still = self.pictures(self.faces.reference[self.faces.clip[frames[: len(made)]]])
                scores["still"].append(decibels(still, true[: len(made)]))
        return {name: round(float(np.mean(values)), 2) for name, values in scores.items() if values}

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """A sheet: reference, driver, coded and streamed, of three frames of every held-out clip."""
        assert isinstance(network, SmallPersonaLive)
        rows = []
        for frames in self._held():
            true = self.pictures(frames)
            made = true if self.options.stage == "vae" else self.play(network, frames)
            cells = [self.pictures(self.faces.reference[self.faces.clip[frames[:1]]])[0]]
            for at in np.linspace(0, len(made) - 1, 3).astype(int):
                with torch.no_grad():
                    coded = network.vae.decode(network.vae.encode(true[at : at + 1]))[0]
                cells += [true[at], coded, made[at]]
            rows.append(torch.cat(cells, dim=2))
        if not rows:
            return
        sheet = ((torch.cat(rows, dim=1).clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).byte().cpu().numpy()
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:06d}.png"), np.ascontiguousarray(sheet[:, :, ::-1]))
