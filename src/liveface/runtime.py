"""`Step`: one loaded network file, called with named arrays.

LiteRT runs every network of the product (measured: INT8 on one thread is the fastest of five run times, natively and
in the browser). Recurrent state is an ordinary named input and output; nothing is kept between calls. Where a picture
goes in or comes out every frame, `fill` and `run` work on the network's own memory instead of copies of it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liveface.errors import WeightsError

Arrays = dict[str, npt.NDArray[Any]]


@contextmanager
def _native_log_silenced() -> Iterator[None]:
    """Keep LiteRT's own start-up line ("Created TensorFlow Lite XNNPACK delegate") off the user's terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Step:
    """A network file that is ready to run.

    Attributes:
        inputs: name to (shape, dtype) of every input. Names are those of the file's signature when it has one, else
            those of its tensors.
        outputs: the same for every output.
        steps: name to (size of a step, number that stands for 0) of every input and output; the size is 0 for floats.
    """

    def __init__(self, file: Path, threads: int = 1, *, content: bytes | None = None) -> None:
        """Load `file` (.tflite), or `content` in its place; `threads` is the number of CPU threads of one call."""
        from ai_edge_litert.interpreter import Interpreter

        try:
            with _native_log_silenced():
                given = {"model_path": str(file)} if content is None else {"model_content": content}
                self._network = Interpreter(**given, num_threads=threads)
                self._network.allocate_tensors()
                signatures = self._network.get_signature_list()
                runner = self._network.get_signature_runner() if len(signatures) == 1 else None
        except (ValueError, RuntimeError) as error:
            raise WeightsError(f"{file} cannot be loaded as a network ({error}); expected a .tflite file.") from error
        self._file, self._turn = file, threading.Lock()
        if runner is not None:  # only its names are used: a runner would allocate anew at every call
            ins, outs = runner.get_input_details(), runner.get_output_details()
        else:
            ins = {detail["name"]: detail for detail in self._network.get_input_details()}
            outs = {detail["name"]: detail for detail in self._network.get_output_details()}
        self.inputs = {name: (tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"])) for name, d in ins.items()}
        self.outputs = {name: (tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"])) for name, d in outs.items()}
        both = (ins | outs).items()
        self.steps = {name: (float(d["quantization"][0]), int(d["quantization"][1])) for name, d in both}
        self._in_index = {name: int(d["index"]) for name, d in ins.items()}
        self._out_index = {name: int(d["index"]) for name, d in outs.items()}

    def __call__(self, **arrays: npt.NDArray[Any]) -> Arrays:
        """Run the network once; every input by name, with exactly the shape and dtype of `inputs`.

        Threads that share a step take turns, so that none reads what another's inputs made.
        """
        if arrays.keys() != self.inputs.keys():
            raise WeightsError(f"{self._file.name} was given inputs {sorted(arrays)}; expected {sorted(self.inputs)}.")
        for name, array in arrays.items():
            shape, dtype = self.inputs[name]
            if array.shape != shape or array.dtype != dtype:
                raise WeightsError(
                    f"{self._file.name} was given {name!r} as {array.dtype} {array.shape}; expected {dtype} {shape}."
                )
        with self._turn:
            for name, array in arrays.items():
                self._network.set_tensor(self._in_index[name], array)
            self._network.invoke()
            return {name: self._network.get_tensor(index) for name, index in self._out_index.items()}

    def fill(self, name: str) -> npt.NDArray[Any]:
        """The memory of an input, written in place before `run` and let go of before it; for one thread only."""
        return np.asarray(self._network.tensor(self._in_index[name])())

    def run(self) -> Arrays:
        """Run on what the inputs hold; the results are the network's own memory, to be read and let go of.

        Raises:
            RuntimeError: somebody still holds an array of `fill` or of an earlier `run`.
        """
        self._network.invoke()
        return {name: np.asarray(self._network.tensor(index)()) for name, index in self._out_index.items()}
