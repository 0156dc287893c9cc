"""Philox against the vectors its authors publish (Random123, tests/kat_vectors)."""

import numpy as np
import pytest

from swarmnode.inference.sampling.philox import BLOCK, gumbels, philox4x32, uniforms

KNOWN = [
    ("00000000 00000000 00000000 00000000 00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("given", "expected"), KNOWN)
def test_known_answers(given: str, expected: str) -> None:
    words = [int(word, 16) for word in given.split()]
    counter = tuple(np.array([word], np.uint64) for word in words[:4])
    out = philox4x32(counter, (words[4], words[5]))
    assert " ".join(f"{int(word[0]):08x}" for word in out) == expected


def test_the_counter_is_token_position_choice_and_the_key_the_seed() -> None:
    seed, choice, position, token = 0x0123456789ABCDEF, 3, 77, 500
    counter = tuple(np.array([word], np.uint64) for word in (token, position, choice, 0))
    high, low, *_ = philox4x32(counter, (0x89ABCDEF, 0x01234567))
    expected = ((int(high[0]) >> 6 << 26) + (int(low[0]) >> 6) + 0.5) / 2**52
    assert uniforms(seed, choice, position, np.array([token]))[0] == expected


def test_a_token_has_the_same_noise_whoever_else_is_drawn_with_it() -> None:
    many = gumbels(9, 1, 5, np.arange(1000))
    few = gumbels(9, 1, 5, np.array([7, 999, 123]))
    np.testing.assert_array_equal(few, many[[7, 999, 123]])


def test_blocks_leave_no_seams() -> None:
    numbers = uniforms(3, 0, 8, np.arange(2 * BLOCK + 5))
    for token in (0, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 4):
        assert uniforms(3, 0, 8, np.array([token]))[0] == numbers[token]
    assert len(np.unique(numbers)) == len(numbers)


def test_the_counter_is_not_used_up() -> None:
    counter = tuple(np.arange(4, dtype=np.uint64) for _ in range(4))
    first = philox4x32(counter, (1, 2))
    np.testing.assert_array_equal(first, philox4x32(counter, (1, 2)))


def test_every_part_of_the_key_changes_the_noise() -> None:
    ids = np.arange(50)
    draws = [gumbels(*key, ids) for key in ((1, 0, 0), (1 << 32, 0, 0), (1, 1, 0), (1, 0, 1))]
    assert len({tuple(draw) for draw in draws}) == len(draws)


def test_uniforms_fill_the_unit_interval_evenly() -> None:
    numbers = np.concatenate([uniforms(4, 0, position, np.arange(4096)) for position in range(16)])
    assert numbers.min() > 0 and numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=64, range=(0, 1))
    chi_square = ((counts - 1024) ** 2 / 1024).sum()
    assert chi_square < 117  # 63 degrees of freedom: exceeded by chance once in 20 000
