"""The picks of the datasets library, recorded from its releases 4.0.0 and 5.2.0, whose picks are the same."""

import numpy
import pytest

from fttui_engine.train.data.mixing import mix, sample, split

LENGTHS = {"a": 3, "b": 4, "c": 7}
NAMES = [f"{name}{number}" for name, length in LENGTHS.items() for number in range(length)]
UNEQUAL = [0.5, 0.2, 0.3]


@pytest.mark.parametrize(
    ("strategy", "probabilities", "seed", "expected"),
    [
        ("concat", None, 42, "a0 a1 a2 b0 b1 b2 b3 c0 c1 c2 c3 c4 c5 c6"),
        ("interleave_under", None, 42, "a0 b0 c0 a1 b1 c1 a2 b2 c2"),
        ("interleave_under", UNEQUAL, 42, "c0 a0 c1 b0 a1 c2 c3 c4 a2"),
        ("interleave_under", UNEQUAL, 7, "b0 c0 c1 a0 a1 c2 a2"),
        (
            "interleave_over",
            None,
            42,
            "a0 b0 c0 a1 b1 c1 a2 b2 c2 a0 b3 c3 a1 b0 c4 a2 b1 c5 a0 b2 c6",
        ),
        ("interleave_over", UNEQUAL, 42, "c0 a0 c1 b0 a1 c2 c3 c4 a2 a0 a1 c5 b1 c6 a2 a0 b2 a1 c0 b3"),
        ("interleave_over", UNEQUAL, 7, "b0 c0 c1 a0 a1 c2 a2 c3 c4 a0 a1 a2 a0 a1 b1 b2 c5 c6 b3"),
        # Only in 5.2.0; 4.0.0, which LLaMA-Factory 0.9.5 installs, refuses it.
        ("interleave_once", None, 42, "a0 b0 c0 a1 b1 c1 a2 b2 c2 b3 c3 c4 c5 c6"),
        ("interleave_once", UNEQUAL, 42, "c0 a0 c1 b0 a1 c2 c3 c4 a2 c5 b1 c6 b2 b3"),
        ("interleave_once", UNEQUAL, 7, "b0 c0 c1 a0 a1 c2 a2 c3 c4 b1 b2 c5 c6 b3"),
    ],
)
def test_mixing(strategy, probabilities, seed, expected):
    order = mix(list(LENGTHS.values()), strategy, probabilities, seed)
    assert " ".join(NAMES[number] for number in order) == expected


@pytest.mark.parametrize(
    ("val_size", "train", "evaluation"),
    [
        (0, list(range(20)), []),
        (3, [7, 12, 10, 6, 19, 3, 0, 16, 5, 11, 18, 2, 4, 17, 1, 13, 8], [15, 9, 14]),
        (0.1, [14, 7, 12, 10, 6, 19, 3, 0, 16, 5, 11, 18, 2, 4, 17, 1, 13, 8], [15, 9]),
        (0.26, [6, 19, 3, 0, 16, 5, 11, 18, 2, 4, 17, 1, 13, 8], [15, 9, 14, 7, 12, 10]),
    ],
)
def test_splitting(val_size, train, evaluation):
    found = split(20, val_size, seed=42)
    assert [numbers.tolist() for numbers in found] == [train, evaluation]


def test_sampling():
    """Recorded from LLaMA-Factory 0.9.5 with seed 42: data sets of 30 and 80 records, num_samples 50 and 40."""
    random = numpy.random.RandomState(42)
    assert sample(30, 50, random).tolist() == [
        *(
            27,
            15,
            23,
            17,
            8,
            9,
            28,
            24,
            12,
            0,
            4,
            16,
            5,
            13,
            11,
            22,
            1,
            2,
            25,
            3,
            21,
            26,
            18,
            29,
            20,
            7,
            10,
            14,
            19,
            6,
        ),
        *(9, 27, 27, 15, 14, 29, 29, 14, 29, 18, 11, 22, 19, 24, 2, 4, 18, 6, 20, 8),
    ]
    assert sample(80, 40, random).tolist() == [
        *(
            57,
            66,
            32,
            19,
            42,
            60,
            12,
            37,
            61,
            21,
            44,
            40,
            27,
            47,
            73,
            31,
            50,
            4,
            64,
            58,
            2,
            26,
            16,
            18,
            10,
            29,
            45,
        ),
        *(11, 51, 79, 74, 6, 36, 0, 67, 55, 24, 56, 23, 54),
    ]
