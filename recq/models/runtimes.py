"""What runs a network: what every runtime offers, and which of them an embedding space gets on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from recq.commands import command
from recq.errors import ModelUnavailable
from recq.models.backend import backend_name, require_keras
from recq.models.gpu import sees_gpu
from recq.models.pixels import PREFIX as PIXELS
from recq.models.pooling import Floats
from recq.settings import RuntimeChoice, Settings
from recq.space import EmbeddingSpace, Precision

RuntimeName = Literal["openvino", "keras"]
Pixels = npt.NDArray[np.uint8]


class Runtime(Protocol):
    """A compiled network with its pooling. `infer` may run `concurrency` times at once.

    `name` and `device` are for people: `openvino` on `CPU`. `batch`: how many pictures one call takes best; it takes
    fewer as well.
    """

    name: str
    device: str
    batch: int
    concurrency: int

    def infer(self, pixels: Pixels) -> Floats:
        """uint8 (n, size, size, 3), n at most `batch` -> float32 (n, dimensions), of any length."""

    def close(self) -> None:
        """Give the network back."""


def choose_runtime(
    precision: Precision, asked: RuntimeChoice, *, one_shot: bool, gpu: Callable[[], bool] = sees_gpu
) -> RuntimeName:
    """What runs networks of a space's `precision`; `gpu` returns whether Keras sees a GPU, and may take seconds.

    f32 vectors are the same on both; int8 networks are OpenVINO's alone, half precision is Keras'. By
    default Keras is chosen where it can use a GPU, but not for a single picture: importing it takes longer than
    OpenVINO takes for a hundred. `asked` overrides this. Raises ModelUnavailable where `asked` cannot run the space.
    """
    if asked == "tensorflow" and (name := backend_name()) != asked:
        raise ModelUnavailable(
            f"Keras is set to run on {name}, so --runtime tensorflow cannot be used: set KERAS_BACKEND=tensorflow, "
            "or use --runtime keras"
        )
    if precision == "f16":
        if asked == "openvino":
            raise ModelUnavailable(
                "vectors of precision f16 are made by Keras alone, so --runtime openvino cannot be used: leave it "
                f"out, or use --precision f32 ({_rebuilt('f32')} for a catalog that exists)"
            )
        return "keras"
    if is_keras(asked) and precision != "f32":
        raise ModelUnavailable(
            f"vectors of precision {precision} are made by OpenVINO alone, so --runtime {asked} cannot be used: "
            f"leave it out, or use --precision f32 ({_rebuilt('f32')} for a catalog that exists)"
        )
    if asked == "auto":
        return "keras" if precision == "f32" and not one_shot and gpu() else "openvino"
    return "keras" if is_keras(asked) else "openvino"


def is_keras(asked: RuntimeChoice) -> bool:
    """Whether Keras is asked for, by its name or by that of what it runs on."""
    return asked in ("keras", "tensorflow")


def require_runtime(space: EmbeddingSpace, settings: Settings) -> None:
    """Raise ModelUnavailable where this machine cannot run a space's network on the runtime of the settings.

    Reads no model and imports no runtime: called before anything is written.
    """
    if space.model.startswith(PIXELS):
        return
    if choose_runtime(space.precision, settings.runtime, one_shot=True) == "keras":
        require_keras()


def _rebuilt(precision: Precision) -> str:
    return command("recq-ingest", "rebuild", "--precision", precision)
