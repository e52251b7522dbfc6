"""The host: three blocks, a slot behind each, and a twin that never notices isolated seed modules."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from karn_wandb.records import SeedStage


def made(width=4):
    torch.manual_seed(0)
    return ConvHost(width)


def count(parameters):
    return sum(p.numel() for p in parameters)


def test_logits_of_every_class_for_every_image():
    assert made()(torch.randn(3, 3, 32, 32)).shape == (3, 10)


@pytest.mark.parametrize(("width", "expected"), [(4, 1774), (8, 6418), (16, 24346)])
def test_the_host_is_as_small_as_its_width_says(width, expected):
    """Counted by hand: 27 w, 18 w^2, 72 w^2 for the convolutions, 14 w for the norms, 40 w + 10 for the head."""
    host = made(width)
    assert count(host.host_parameters()) == count(host.parameters()) == expected
    assert expected == 27 * width + 18 * width**2 + 72 * width**2 + 14 * width + 40 * width + 10


def test_slots_are_found_by_name_with_their_width():
    assert {name: slot.channels for name, slot in made().seed_slots.items()} == {"early": 4, "mid": 8, "late": 16}
    assert [slot.slot_id for slot in made().slots()] == ["early", "mid", "late"]


def test_seed_modules_are_parameters_of_the_model_and_not_of_the_host():
    host = made()
    before = count(host.host_parameters())
    seed = BLUEPRINTS["conv_heavy"](16)
    host.slots()[2].germinate("conv_heavy", seed)
    assert count(host.host_parameters()) == before
    assert count(host.parameters()) == before + count(seed.parameters())


def trained(stage):
    """The host's parameters after five steps with a seed module in every slot, taken to `stage`; without any for None."""
    host = made()
    for slot in host.slots() if stage is not None else ():
        slot.germinate("conv_heavy", BLUEPRINTS["conv_heavy"](slot.channels))
        slot.enter(SeedStage.TRAINING)
        if stage is SeedStage.BLENDING:
            slot.enter(stage)
            slot.begin_epoch()
    optimizer = torch.optim.AdamW(host.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        images = torch.randn(8, 3, 32, 32, generator=generator)
        labels = torch.randint(10, (8,), generator=generator)
        optimizer.zero_grad()
        cross_entropy(host(images), labels).backward()
        optimizer.step()
    return host


def same_hosts(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.host_parameters(), b.host_parameters(), strict=True))


def test_until_blending_starts_the_grown_host_is_the_host_alone_bit_for_bit():
    grown, alone = trained(SeedStage.TRAINING), trained(None)
    assert same_hosts(grown, alone)


def test_blending_is_what_makes_the_two_hosts_differ():
    assert not same_hosts(trained(SeedStage.BLENDING), trained(None))
