"""The user's own weights: which networks of others can be brought, where they lie, and whether they are whole.

Nothing is ever downloaded here. `liveface fetch NAME` says where weights come from and under which licence,
`liveface fetch NAME --from DIR` (in `liveface.fetch`) checks and converts what the user downloaded, this module keeps
the record. Without torch, so that everything else can ask.

Notable choices: weights lie in `LIVEFACE_HOME`, or where XDG keeps a user's data; a record with SHA-256 beside them is
written last, so that what is half-written is missing; sizes are compared whenever weights are opened, hashes by
`doctor`, because a full hash would cost seconds at every start.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from liveface.errors import DeviceError, WeightsError

RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Part:
    """One network of a model.

    Attributes:
        name: of the file that is kept, without its ending.
        files: the official files it is read from, by their last names; later ones win, all are needed.
        required: whether the model is of no use without it.
    """

    name: str
    files: tuple[str, ...]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Model:
    """Networks of others that run in our own code.

    Attributes:
        name: as in `liveface fetch NAME`.
        title: for people.
        licence: in a sentence, with what to look out for.
        source: how to get the official files, as lines.
        megabytes: of the official files together.
        parts: its networks.
    """

    name: str
    title: str
    licence: str
    source: tuple[str, ...]
    megabytes: int
    parts: tuple[Part, ...]


LIVEPORTRAIT = Model(
    "liveportrait",
    "LivePortrait, for human faces (Guo and others 2024)",
    "code and weights are under the MIT licence, by KwaiVGI; the InsightFace detector that is offered with them is for "
    "non-commercial research only, is not needed, and is never read: liveface finds faces itself",
    (
        "hf download KwaiVGI/LivePortrait --include 'liveportrait/base_models/*' "
        "'liveportrait/retargeting_models/*' --local-dir DIR",
        "or by hand from https://huggingface.co/KwaiVGI/LivePortrait, the same files",
    ),
    500,
    (
        Part("appearance", ("appearance_feature_extractor.pth",)),
        Part("motion", ("motion_extractor.pth",)),
        Part("warping", ("warping_module.pth",)),
        Part("decoder", ("spade_generator.pth",)),
        Part("retarget", ("stitching_retargeting_module.pth",)),
    ),
)

PERSONALIVE = Model(
    "personalive",
    "PersonaLive (Li and others 2026)",
    "code is under Apache 2.0, and its authors ask for academic research only; the base networks it stands on have "
    "their own: sd-image-variations (CreativeML OpenRAIL-M), sd-vae-ft-mse (MIT), the optional taesd (MIT)",
    (
        "hf download huaichang/PersonaLive --local-dir DIR/personalive",
        "hf download lambdalabs/sd-image-variations-diffusers --include 'image_encoder/*' "
        "--local-dir DIR/sd-image-variations-diffusers",
        "hf download stabilityai/sd-vae-ft-mse --local-dir DIR/sd-vae-ft-mse",
        "hf download madebyollin/taesd --local-dir DIR/taesd (optional: decodes faster)",
        "or by hand from the same pages of https://huggingface.co, into folders of the same names",
    ),
    13000,
    (
        Part("denoiser", ("denoising_unet.pth", "temporal_module.pth")),
        Part("reference", ("reference_unet.pth",)),
        Part("pose", ("pose_guider.pth",)),
        Part("encoder", ("motion_encoder.pth",)),
        Part("extractor", ("motion_extractor.pth",)),
        Part("vae", ("sd-vae-ft-mse/diffusion_pytorch_model.bin",)),
        Part("image", ("image_encoder/pytorch_model.bin",)),
        Part("tiny", ("taesd/diffusion_pytorch_model.safetensors",), required=False),
    ),
)

MODELS = {model.name: model for model in (LIVEPORTRAIT, PERSONALIVE)}


def home() -> Path:
    """The folder of this user's data: `LIVEFACE_HOME`, or `liveface` where XDG keeps data."""
    if named := os.environ.get("LIVEFACE_HOME"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "liveface"


def model_of(name: str) -> Model:
    """The model called `name`.

    Raises:
        WeightsError: there is none.
    """
    if name not in MODELS:
        raise WeightsError(f"there are no weights called {name!r}; expected {' or '.join(MODELS)}.")
    return MODELS[name]


def folder(name: str) -> Path:
    """Where the weights of a model lie, whether or not they are there."""
    return home() / "weights" / model_of(name).name


def kept(name: str, part: str) -> Path:
    """The file of one part, whether or not it is there."""
    return folder(name) / f"{part}.safetensors"


def read_record(name: str) -> dict[str, dict[str, Any]]:
    """What `liveface fetch` stored: part to `bytes`, `sha256`, `tensors`, `from` and `made`; empty when nothing is.

    Raises:
        WeightsError: the record cannot be read.
    """
    file = folder(name) / RECORD
    if not file.is_file():
        return {}
    try:
        parts: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))["parts"]
        entries = {part: dict(entry) for part, entry in parts.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{file} cannot be read ({error}); expected a record: {command(name)} writes it.") from error
    return entries


def command(name: str) -> str:
    """The command that brings the weights of a model."""
    return f"`liveface fetch {name} --from DIR`"


def missing(name: str) -> list[str]:
    """Parts that are not there, or whose file has another size than was recorded."""
    record = read_record(name)
    absent = []
    for part in model_of(name).parts:
        file, entry = kept(name, part.name), record.get(part.name)
        whole = entry is not None and file.is_file() and file.stat().st_size == entry.get("bytes")
        if part.required and not whole:
            absent.append(part.name)
    return absent


def check_packages(name: str) -> None:
    """Look that what a model needs is installed.

    Raises:
        DeviceError: it is not, and how to install it.
    """
    model_of(name)
    for package in ("torch", "safetensors"):
        if find_spec(package) is None:
            raise DeviceError(
                f"{package} is not installed; expected the gpu extra for {name}: pip install 'liveface[gpu]'."
            )


def require(name: str) -> Path:
    """The folder of a model whose weights are all there, and whose packages are installed.

    Raises:
        DeviceError: a package is missing. WeightsError: weights are; both say what to do.
    """
    check_packages(name)
    absent = missing(name)
    if absent:
        raise WeightsError(
            f"the weights of {name} are not here ({', '.join(absent)} in {folder(name)}); expected what "
            f"{command(name)} stores: `liveface fetch {name}` tells what to download and its licence."
        )
    return folder(name)


def explain(name: str) -> list[str]:
    """Lines that say what to download, from whom, and what comes next."""
    model = model_of(name)
    lines = [
        f"{model.title}: {model.licence}.",
        f"liveface downloads nothing. Get the official files ({model.megabytes} MB):",
    ]
    lines += [f"  {line}" for line in model.source]
    lines += ["They are:"]
    lines += [f"  {file}" for part in model.parts for file in part.files]
    lines += ["Then:", f"  liveface fetch {name} --from DIR", f"They are checked and kept in {folder(name)}."]
    return lines


def describe(name: str) -> str:
    """One line for `doctor`: what is there, and whether it is whole."""
    record = read_record(name)
    if not record:
        return f"weights of {name}: none (optional; `liveface fetch {name}` tells more)"
    altered = [part for part, entry in record.items() if digest(kept(name, part)) != entry.get("sha256")]
    if altered or missing(name):
        wrong = ", ".join(sorted({*altered, *missing(name)}))
        return f"weights of {name}: {wrong} missing or altered in {folder(name)}; {command(name)} brings them again"
    megabytes = sum(int(entry["bytes"]) for entry in record.values()) / 1e6
    return f"weights of {name}: {len(record)} files, {megabytes:.0f} MB, all whole, in {folder(name)}"


def digest(file: Path) -> str:
    """SHA-256 of a file; empty when it is not there."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
