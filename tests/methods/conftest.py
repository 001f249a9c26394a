import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # These networks are so small that threads only wait for one another.
    torch.set_num_threads(1)
