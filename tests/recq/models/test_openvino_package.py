"""How OpenVINO is imported: which instructions its networks are compiled for, and what the process keeps of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recq.models.openvino_package import _has_amx
from recq.models.weights import bundled_manifest

COMPILED = """
import json, os, sys
import recq.models.openvino_package as package
ov = package.openvino()
from recq.models import ModelOptions
from recq.models.zoo import find_network
from recq.settings import Settings
kinds = set()
for name in sys.argv[1:]:
    network = find_network(ModelOptions(name, precision="int8"), Settings())
    core = ov.Core()
    model = core.read_model(network.ir)
    model.reshape([1, network.size, network.size, 3])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds |= {each.get_rt_info()["primitiveType"].astype(str) for each in compiled.get_runtime_model().get_ops()}
print(json.dumps({"kinds": sorted(kinds), "kept": os.environ.get("ONEDNN_MAX_CPU_ISA")}))
"""

NAMES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def compiled(**environment: str) -> tuple[list[str], str | None]:
    """The implementations that OpenVINO chose for the 8-bit networks, in a process of its own; what the variable is
    there afterwards."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", COMPILED, *(name for name in bundled_manifest())]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["kinds"], answer["kept"]


def test_eight_bit_networks_do_without_matrix_tiles_and_nothing_stays_in_the_environment() -> None:
    kinds, kept = compiled()
    assert any(kind.endswith("I8") for kind in kinds)
    assert not [kind for kind in kinds if "amx" in kind]
    assert kept is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("widest", ["AVX2", "DEFAULT"])
def test_what_the_environment_says_of_instructions_holds(name: str, widest: str) -> None:
    kinds, kept = compiled(**{name: widest})
    assert kept == (widest if name == "ONEDNN_MAX_CPU_ISA" else None)
    if widest == "AVX2":
        assert not [kind for kind in kinds if "avx512" in kind]
    elif _has_amx():
        assert [kind for kind in kinds if "amx" in kind]


LIMITED = """
import json, os, subprocess, sys
from pathlib import Path
import recq.models.openvino_package as package
seen = []
class Core:
    def get_property(self, *names):
        child = [sys.executable, "-c", "import os; print(os.environ.get('ONEDNN_MAX_CPU_ISA'))"]
        seen.extend([os.environ.get("ONEDNN_MAX_CPU_ISA"), subprocess.check_output(child, text=True).strip()])
package._CPU = Path(sys.argv[1])
package._do_without_amx(type("Package", (), {"Core": Core}))
print(json.dumps(seen))
"""


@pytest.mark.parametrize(
    ("flags", "seen"),
    [("fpu avx2 amx_tile amx_int8", [None, "AVX512_CORE_FP16"]), ("fpu avx2 avx_vnni_int8", []), (None, [])],
)
def test_the_limit_is_for_processors_with_tiles_and_no_thread_sees_it(
    flags: str | None, seen: list[str | None], tmp_path: Path
) -> None:
    """Other threads look at os.environ at any moment, and each name in it has to be there."""
    cpu = tmp_path / "cpuinfo"
    if flags is not None:
        cpu.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_tile\n")
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(cpu)], env=kept, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == seen
