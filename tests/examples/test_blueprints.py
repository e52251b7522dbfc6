"""Blueprints keep the shape, start as the identity, and can leave it."""

import pytest
import torch

from examples.blueprints import BLUEPRINTS


@pytest.fixture(params=BLUEPRINTS)
def blueprint(request):
    torch.manual_seed(0)
    return BLUEPRINTS[request.param]


@pytest.mark.parametrize("channels", [4, 8, 16, 32])
def test_a_new_seed_module_is_exactly_the_identity(blueprint, channels):
    x = torch.randn(3, channels, 5, 7)
    assert torch.equal(blueprint(channels)(x), x)


def test_one_step_of_training_changes_the_output_and_keeps_the_shape(blueprint):
    seed = blueprint(8)
    x, wanted = torch.randn(4, 8, 6, 6), torch.randn(4, 8, 6, 6)
    before = (seed(x) - wanted).square().mean()
    before.backward()
    torch.optim.SGD(seed.parameters(), lr=0.01).step()
    after = seed(x)
    assert after.shape == x.shape
    assert (after - wanted).square().mean() < before


def test_every_parameter_learns_once_the_last_layer_has_moved(blueprint):
    seed = blueprint(8)
    optimizer = torch.optim.Adam(seed.parameters(), lr=0.01)
    x, wanted = torch.randn(8, 8, 6, 6), torch.randn(8, 8, 6, 6)
    start = {name: p.clone() for name, p in seed.named_parameters()}
    for _ in range(5):
        optimizer.zero_grad()
        (seed(x) - wanted).square().mean().backward()
        optimizer.step()
    assert [name for name, p in seed.named_parameters() if torch.equal(p, start[name])] == []


def test_blueprints_are_listed_smallest_first():
    sizes = [sum(p.numel() for p in make(32).parameters()) for make in BLUEPRINTS.values()]
    assert sizes == sorted(sizes)
    assert sizes[0] == 2 * 32
