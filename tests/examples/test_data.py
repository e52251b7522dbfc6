"""Data: parts share no pixel, the same seed gives the same bytes, nothing untrusted is unpickled."""

import itertools
import os
import pickle
import socket

import numpy as np
import pytest
import torch

from examples.data import (
    BLOCK,
    GAP,
    PHOTOGRAPHS,
    blocks,
    cifar10,
    mirrored,
    photo_patches,
    photograph,
    random_crops,
    read_batch,
    standardized,
)


@pytest.fixture(scope="module")
def data():
    return photo_patches(training=200, steering=100, validation=100)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_blocks_of_different_parts_keep_their_distance(name):
    height, width = photograph(name).shape[:2]
    places = {part: blocks(height, width, part) for part in range(3)}
    assert all(places.values())
    for (_, first), (_, second) in itertools.combinations(places.items(), 2):
        for (top, left), (other_top, other_left) in itertools.product(first, second):
            assert max(abs(top - other_top), abs(left - other_left)) >= BLOCK + GAP


def test_there_are_as_many_of_each_class(data):
    for part, size in ((data.training, 20), (data.steering, 10), (data.validation, 10)):
        assert part.inputs.shape[1:] == (3, 32, 32)
        assert torch.bincount(part.targets).tolist() == [size] * 10


def test_the_same_seed_gives_the_same_bytes_and_another_others(data):
    assert photo_patches(200, 100, 100).sha256() == data.sha256()
    assert photo_patches(200, 100, 100, seed=1).sha256() != data.sha256()


def test_validation_has_at_least_two_thousand_examples_by_default():
    assert len(photo_patches(training=10, steering=10).validation.targets) == 2000


def test_shuffling_follows_its_generator_alone(data):
    def epoch(seed):
        return [images for images, _ in data.epoch(64, torch.Generator().manual_seed(seed))]

    torch.manual_seed(1)
    first = epoch(0)
    torch.manual_seed(2)
    assert all(map(torch.equal, first, epoch(0)))
    assert not all(map(torch.equal, first, epoch(1)))


def write_cifar(folder, hostile=None):
    """Batches as published, but for NumPy's address (published: numpy.core) and the protocol (published: 2, by Python 2)."""
    generator = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {
            b"data": generator.integers(0, 256, (20, 3072), dtype=np.uint8),
            b"labels": generator.integers(0, 10, 20).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(hostile if hostile and name == "data_batch_3" else batch, protocol=3))


def test_cifar_batches_are_read_in_the_shape_of_the_patches(tmp_path):
    write_cifar(tmp_path)
    data = cifar10(tmp_path, steering=10)
    assert [len(p.targets) for p in (data.training, data.steering, data.validation)] == [90, 10, 20]
    assert data.training.inputs.shape == (90, 3, 32, 32)


class Hostile:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    write_cifar(tmp_path, hostile=Hostile())
    with pytest.raises(pickle.UnpicklingError, match=r"refused to load posix\.system"):
        cifar10(tmp_path)


def test_the_address_numpy_had_when_cifar_was_published_is_known(tmp_path):
    path = tmp_path / "batch"
    new = pickle.dumps({b"data": np.arange(3072, dtype=np.uint8).reshape(1, -1), b"labels": [3]}, protocol=3)
    path.write_bytes(new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    pixels, labels = read_batch(path)
    assert pixels.shape == (1, 32, 32, 3)
    assert labels == [3]


def test_a_missing_batch_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        cifar10(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'data_batch_1'} is missing: unpack cifar-10-python.tar.gz and name its folder"


def test_mirrored_images_take_all_eight_orientations_and_no_other():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = {tuple(turned.ravel().tolist()) for turned in mirrored(image.expand(400, 1, 3, 3), torch.Generator().manual_seed(0))}
    turns = [torch.rot90(image[0, 0], k) for k in range(4)]
    assert found == {tuple(t.ravel().tolist()) for turn in turns for t in (turn, turn.flip(0))}


def test_standardizing_removes_brightness_of_an_image():
    pixels = np.random.default_rng(0).integers(100, 120, (1, 32, 32, 3), dtype=np.uint8)
    torch.testing.assert_close(standardized(pixels, [0]).inputs, standardized(pixels + 50, [0]).inputs)


def test_crops_of_different_parts_share_no_pixel_of_any_photograph():
    """Each pixel carries its own position, so a shared one would be seen in both crops."""
    for name in PHOTOGRAPHS:
        height, width = photograph(name).shape[:2]
        positions = np.arange(height * width).reshape(height, width)
        seen = [
            set(np.concatenate([c.ravel() for c in random_crops(positions, part, 200, np.random.default_rng(part))]).tolist())
            for part in range(3)
        ]
        assert not seen[0] & seen[1]
        assert not seen[0] & seen[2]
        assert not seen[1] & seen[2]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_no_photograph_needs_the_network(name, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert photograph(name).shape[2] == 3


def test_the_hash_sees_one_changed_label(data):
    changed = photo_patches(200, 100, 100)
    changed.validation.targets[0] += 1
    assert changed.sha256() != data.sha256()
