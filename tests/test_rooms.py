import os
import subprocess
import sys

import pytest

HEAVY = {"ray", "optuna", "pandas", "torchvision", "matplotlib", "sklearn", "zennit", "moocore", "onnxruntime"}


@pytest.mark.parametrize(
    "imports",
    [
        "import methods; methods.catalogue(); import trial",
        "import trial.workbench, trial.networks; trial.networks.names()",
    ],
)
def test_importing_the_rooms_that_work_loads_nothing_heavy(imports: str) -> None:
    """Ray and Optuna are search's; torchvision alone costs a worker seconds of start-up."""
    program = f"import sys; {imports}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    loaded = set(printed.split())
    assert {"methods", "trial", "torch"} <= loaded
    assert not HEAVY & loaded
