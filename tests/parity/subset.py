"""Make the part of the stored outputs that lives here: python tests/parity/subset.py FROM MODEL, such as liveportrait.

What is left out is listed below; what stays proves every network once, the rest is for `make test-parity`.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "data"
LEFT_OUT = {
    "liveportrait": {
        "warping_module": None,  # the chain runs it
        "spade_generator": None,
        "appearance_feature_extractor": ("in_source_u8",),  # the chain holds the same pictures
        "motion_extractor": ("in_",),
        "chain": ("in_fixed", "out_fixed", "out_f_s_sub"),
    },
    "personalive": {
        "denoising_unet_tiny": (
            "in_sample",
            "in_motion",
            "in_pose",
            "in_timesteps",
            "in_hist",
            "in_ref",
            "in_ehs3",
            "out_",
        ),
        "denoising_unet_full": None,  # the stream runs the tiny ones
        "reference_unet_full": None,
        "temporal_and_motion_module": None,
        "motion_encoder": None,
        "motion_extractor": None,
        "image_encoder_tiny": None,
        "keys/denoising_unet_tiny": None,  # the same names as of the full ones
        "keys/reference_unet_tiny": None,
        "keys/temporal_module": None,
    },
}
"""Of each file, the starts of the names of arrays that are left out; None leaves the file out."""


def main(source, model):
    """Copy what stays."""
    target = HERE / model
    (target / "keys").mkdir(parents=True, exist_ok=True)
    for file in sorted((Path(source) / model / "keys").glob("*.json")):
        if LEFT_OUT[model].get(f"keys/{file.stem}", ()) is None:
            continue
        table = json.loads(file.read_text("utf-8"))
        (target / "keys" / file.name).write_text(json.dumps(table, separators=(",", ":")) + "\n", "utf-8")
    for file in (Path(source) / model).glob("*.json"):
        shutil.copyfile(file, target / file.name)
    for file in sorted((Path(source) / model).glob("*.npz")):
        starts = LEFT_OUT[model].get(file.stem, ())
        if starts is not None:
            with np.load(file) as arrays:
                kept = {name: arrays[name] for name in arrays.files if not name.startswith(tuple(starts))}
            np.savez_compressed(target / file.name, **kept)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    sys.stdout.write(f"{target}: {size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
