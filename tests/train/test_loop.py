"""The training loop: metrics, checkpoints, resuming, averaging."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from liveface.errors import RecipeError
from liveface.train import tasks
from liveface.train.loop import CHECKPOINT, average_weights, averaged_weights, open_run, run_task
from liveface.train.recipe import Recipe

TOY = Recipe("toy", "toy", steps=12, batch=4, learning_rate=1e-2, warmup_steps=1, log_every=4, evaluate_every=6,
             save_every=5, precision="float32")  # fmt: skip


class Toy:
    """Learns to double a number."""

    def __init__(self, run):
        torch.manual_seed(0)
        self.run = run
        self.networks = {"main": nn.Linear(1, 1)}
        self.optimizers = {"main": torch.optim.AdamW(self.networks["main"].parameters())}

    def step(self, index):
        given = torch.linspace(-1, 1, 8)[:, None] + index * 0.01
        loss = (self.networks["main"](given) - 2 * given).square().mean()
        self.optimizers["main"].zero_grad()
        loss.backward()
        self.optimizers["main"].step()
        return {"loss": float(loss.detach())}

    def evaluate(self, network):
        return {"error": float((network(torch.ones(1, 1)) - 2).abs())}

    def sample(self, network, folder, index):
        folder.mkdir(exist_ok=True)
        (folder / f"{index}.txt").write_text("seen")


def run(recipe, folder):
    with open_run(recipe, folder, "cpu") as opened:
        return run_task(opened, Toy(opened))


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_its_recipe_metrics_samples_and_weights(tmp_path):
    scores = run(TOY, tmp_path)
    assert set(scores) == {"error"}
    written = lines(tmp_path)
    assert [line["step"] for line in written if "loss" in line] == [4, 8, 12]
    assert [line["step"] for line in written if "held_out" in line] == [6, 12]
    assert json.loads((tmp_path / "recipe.json").read_text())["name"] == "toy"
    assert (tmp_path / "environment.json").is_file()
    assert (tmp_path / "samples" / "12.txt").is_file()
    assert set(averaged_weights(tmp_path / CHECKPOINT)) == {"weight", "bias"}


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path):
    run(TOY, tmp_path / "whole")
    with open_run(TOY, tmp_path / "parts", "cpu") as opened:
        opened.recipe = dataclasses.replace(TOY, minutes=0.0)
        run_task(opened, Toy(opened))  # time is up after one step
    run(TOY, tmp_path / "parts")
    whole, parts = (averaged_weights(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run(TOY, tmp_path)

    class Wider(Toy):
        def __init__(self, opened):
            super().__init__(opened)
            self.networks = {"main": nn.Linear(2, 1)}

    with open_run(TOY, tmp_path, "cpu") as opened, pytest.raises(RecipeError, match="another run folder"):
        run_task(opened, Wider(opened))


def test_numbers_that_are_not_real_stop_the_run(tmp_path):
    class Broken(Toy):
        def step(self, index):
            return {"loss": float("nan")}

    with open_run(TOY, tmp_path, "cpu") as opened, pytest.raises(RecipeError, match="left the real numbers at step 0"):
        run_task(opened, Broken(opened))


def test_weights_are_averaged():
    old, new = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        old.weight.fill_(0.0)
        new.weight.fill_(1.0)
    average_weights(old, new, 0.75)
    assert old.weight.item() == pytest.approx(0.25)


def test_missing_checkpoints_and_unknown_tasks_are_named(tmp_path):
    with pytest.raises(RecipeError, match="liveface train"):
        averaged_weights(tmp_path / CHECKPOINT)
    with pytest.raises(RecipeError, match="expected one of mouth"):
        tasks.train(TOY, tmp_path)
