"""Everything runs on a device that is not the CPU, ends where the CPU ends, and seldom makes the host wait.

The runs take place in one process of their own, as the pretend device cannot be taken back from torch;
`python -m tests.device` prints the table of what is read.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradsurgery.core.discovery import KINDS, available
from tests.arms import skip_without_package
from tests.device.configurations import CONFIGURATIONS

_ROOT = Path(__file__).parents[2]
_STEP, _DIAGNOSED, _BATCH = 4, 6, 1  # reads allowed: in a step, in one with diagnostics, for a batch that is judged
_CLOSE = 1e-3  # to the CPU's numbers, relatively: G is summed in another order there

# Farther where a last bit chooses another place of max pooling, whose gradient is another number altogether.
_FAR = dict.fromkeys(("networks/mtan", "networks/separate"), 0.1)  # the second is of MTANs

# What stays on the CPU whatever the device. Nothing is refused.
ON_CPU = {
    "rules/descent": "numpy's closed forms; steps of a few microseconds",
    "rules/floor": "scikit-learn's models",
}
# torchjd's own reads, which are not ours to save: in a step with diagnostics, and without.
THEIR_READS = {
    "aggregators/torchjd-aligned_mtl": (6, 6),
    "aggregators/torchjd-dualproj": (5, 5),
    "aggregators/torchjd-mgda": (11, 11),
    "aggregators/torchjd-nash_mtl": (6, 6),
    "aggregators/torchjd-upgrad": (5, 5),
}
# Where torch puts an operation together from others on a device for which it has no kernel, and rounds otherwise.
OTHER_KERNELS = {
    "recommender": "the derivative of mish",
    "drgrad": "likewise: its network is the recommender",
    "census": "likewise",
    "synthetic": "likewise",
    "yeast": "likewise",
    "mtan": "bilinear interpolation, where torch is to be deterministic",
    "separate": "likewise: of MTANs",
    "mobilenet_raspp": "likewise",
    "pascal_context": "likewise",
    "masked_autoencoder": "biases that a normalisation takes away again, whose gradient is rounding",
    "imagenet_mae": "likewise",
    "ct_mae": "likewise",
}


@pytest.fixture(scope="module")
def outcomes():
    path = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.device", "--json"], cwd=_ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_file_has_a_configuration():
    covered = {name.partition("+")[0].partition("-")[0] for name in CONFIGURATIONS}
    assert {f"{kind}/{name}" for kind in KINDS for name in available(kind)} <= covered


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_ends_where_the_cpu_ends(outcomes, name):
    skip_without_package(CONFIGURATIONS[name].problem.startswith("metaworld"))
    found = outcomes[name]
    assert "error" not in found, found
    assert found["on_device"] == (name not in ON_CPU)
    assert found["same_names"]
    assert found["resumes"]
    assert max(found["differs"].values(), default=0.0) < _FAR.get(name, _CLOSE), found["differs"]
    if not name.startswith("aggregators/") and not any(part in name for part in OTHER_KERNELS):
        assert not [key for key in found["differs"] if key.startswith(("network.", "balancer."))]  # equal to the bit


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_host_seldom_waits(outcomes, name):
    skip_without_package(CONFIGURATIONS[name].problem.startswith("metaworld"))
    found = outcomes[name]
    scored = name.startswith("aggregators/") and name.endswith("+observed")  # layers are, in every step: one read more
    diagnosed, ordinary = THEIR_READS.get(name, (_DIAGNOSED, _STEP + scored))
    for first, reads, _ in found["steps"]:
        assert reads <= (diagnosed if first else ordinary), found["reads"]
    assert found["end"] <= _DIAGNOSED, found["reads"]
    assert max(found["evaluations"]) <= _BATCH, found["reads"]
