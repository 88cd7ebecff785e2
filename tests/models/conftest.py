import pytest


@pytest.fixture
def torch_blocks(torch):
    """The module tests.models.torch_blocks, whose models start with equal weights."""
    from tests.models import torch_blocks

    torch.manual_seed(0)
    return torch_blocks
