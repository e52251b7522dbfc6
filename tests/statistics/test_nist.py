"""Certified values of NIST's Statistical Reference Datasets (StRD), https://www.itl.nist.gov/div898/strd/, to 1e-8.

Univariate summaries are those of deltas from zero. One-way analyses of variance are what clusters take apart; with two
treatments F is the square of Student's t, which is d by the root of the effective size. Datasets of higher difficulty (SmLs07
to 09, 13 leading digits in common) are left out: the data themselves do not fit into double precision.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from karn_wandb.statistics import clustered, compare

MICHELSON = json.loads(Path(__file__).with_name("reference.json").read_text())["michelson"]


def alternating(middle, low, high, pairs):
    """NIST's NumAcc2 to 4: one middle value, then low and high in turn."""
    return [middle, *[low, high] * pairs]


UNIVARIATE = {
    "NumAcc1": ([10000001, 10000003, 10000002], 10000002, 1),
    "NumAcc2": (alternating(1.2, 1.1, 1.3, 500), 1.2, 0.1),
    "NumAcc3": (alternating(1000000.2, 1000000.1, 1000000.3, 500), 1000000.2, 0.1),
    "NumAcc4": (alternating(10000000.2, 10000000.1, 10000000.3, 500), 10000000.2, 0.1),
    "Michelso": (MICHELSON, 299.852400000000, 0.0790105478190518),
}

SIRSTV = [
    [196.3052, 196.1240, 196.1890, 196.2569, 196.3403],
    [196.3042, 196.3825, 196.1669, 196.3257, 196.0422],
    [196.1303, 196.2005, 196.2889, 196.0343, 196.1811],
    [196.2795, 196.1748, 196.1494, 196.1485, 195.9885],
    [196.2119, 196.1051, 196.1850, 196.0052, 196.2090],
]
SILVER = [  # atomic weight of silver by two instruments: 107.868 and these ten-millionths
    [1568, 1465, 1572, 1785, 1446, 1903, 1526, 1494, 1616, 1587, 1519, 1486,
     1419, 1569, 1508, 1672, 1385, 1518, 1662, 1424, 1360, 1333, 1610, 1477],
    [1079, 1344, 1513, 1197, 1604, 1385, 1642, 1365, 1151, 1082, 1517, 1448,
     1198, 1482, 1334, 1609, 1101, 1512, 1469, 1360, 1254, 1261, 1450, 1368],
]  # fmt: skip
ATMWTAG = [[float(f"107.868{value}") for value in instrument] for instrument in SILVER]


def simon_lesage(runs, base):
    """NIST's SmLs01 to 06: nine treatments, a middle value in each, then a tenth below and above it in turn."""
    return [
        [float(f"{base}.{tenths}") for tenths in alternating(middle, middle - 1, middle + 1, runs // 2)]
        for middle in (4, 3, 5, 3, 5, 3, 5, 3, 5)
    ]


ONE_WAY = {  # mean square between, mean square within, F
    "SiRstv": (SIRSTV, 1.27865654000000e-02, 1.08318280000000e-02, 1.18046237440255e00),
    "AtmWtAg": (ATMWTAG, 3.63834187500000e-09, 2.28155932971014e-10, 1.59467335677930e01),
    "SmLs01": (simon_lesage(21, 1), 0.21, 0.01, 21.0),
    "SmLs02": (simon_lesage(201, 1), 2.01, 0.01, 201.0),
    "SmLs03": (simon_lesage(2001, 1), 20.01, 0.01, 2001.0),
    "SmLs04": (simon_lesage(21, 1_000_000), 0.21, 0.01, 21.0),
    "SmLs05": (simon_lesage(201, 1_000_000), 2.01, 0.01, 201.0),
    "SmLs06": (simon_lesage(2001, 1_000_000), 20.01, 0.01, 2001.0),
}


def certified(value):
    return pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("name", UNIVARIATE)
def test_mean_and_standard_deviation_are_the_certified_ones(name):
    values, mean, deviation = UNIVARIATE[name]
    found = compare(values, np.zeros(len(values)), paired=True)
    assert (found.mean_delta, found.std_delta) == (certified(mean), certified(deviation))


@pytest.mark.parametrize("name", ONE_WAY)
def test_mean_squares_between_and_within_clusters_are_the_certified_ones(name):
    treatments, between, within, ratio = ONE_WAY[name]
    clusters = [number for number, values in enumerate(treatments) for _ in values]
    found = clustered(np.concatenate(treatments), clusters)
    assert (found.between, found.within) == (certified(between), certified(within))
    assert found.between / found.within == certified(ratio)


def test_the_squared_effect_of_two_arms_is_the_certified_f():
    first, second = ATMWTAG
    found = compare(first, second)
    assert found.cohens_d**2 * 24 * 24 / 48 == certified(ONE_WAY["AtmWtAg"][3])
    assert found.std_delta == certified(1.51048314446410e-05)
