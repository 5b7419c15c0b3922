"""Random streams: one for each purpose, derived from one seed."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from exprun.common.streams import MaskStream, Streams, derive, key_of, mask_words, philox, stream

NAMES = ("init", "order", "dropout")


def words_of(masks: MaskStream, layer: int, rows: int, units: int) -> torch.Tensor:
    return mask_words(key_of(masks.seed), layer, masks.iteration.view(1, 1), rows, units)


def numbers(drawn_from: torch.Generator | MaskStream) -> list[float]:
    """The next eight; of masks, those of one iteration."""
    if isinstance(drawn_from, MaskStream):
        words = words_of(drawn_from, layer=0, rows=2, units=4).flatten().tolist()
        drawn_from.advance()
        return words
    return torch.rand(8, generator=drawn_from).tolist()


def test_purposes_and_seeds_differ():
    drawn = [numbers(stream(s, p)) for s in range(4) for p in (*NAMES, "split", "data")]
    assert all(a != b for a, b in combinations(drawn, 2))


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63])
def test_equal_seeds_are_paired(seed):
    first, second = Streams.from_seed(seed), Streams.from_seed(seed)
    for name in NAMES:
        assert numbers(getattr(first, name)) == numbers(getattr(second, name))


def test_seed_zero_is_a_seed():
    """Another seed's neighbour, fixed from call to call, and not torch's own seed 0."""
    assert derive(0, "init") != derive(1, "init")
    assert derive(0, "init") != 0
    assert numbers(stream(0, "init")) == numbers(stream(0, "init"))
    assert numbers(stream(0, "init")) != numbers(torch.Generator().manual_seed(0))


def test_derived_seeds_are_fixed_for_all_time():
    """Pinned: another value here would change the results of everybody's seeds."""
    assert derive(0, "init") == 2_868_608_401_659_173_989


@pytest.mark.parametrize("drawn_from", NAMES)
def test_drawing_from_one_stream_leaves_the_others(drawn_from):
    touched, fresh = Streams.from_seed(3), Streams.from_seed(3)
    for streams in (touched, fresh):
        streams.dropout.new_layer()
    numbers(getattr(touched, drawn_from))
    for name in NAMES:
        same = numbers(getattr(touched, name)) == numbers(getattr(fresh, name))
        assert same == (name != drawn_from)


def test_streams_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    streams = Streams.from_seed(0)
    numbers(streams.order)
    assert torch.equal(torch.get_rng_state(), before)


def test_state_round_trip_goes_on_exactly():
    streams, other = Streams.from_seed(5), Streams.from_seed(5)
    for each in (streams, other):
        each.dropout.new_layer()
    numbers(streams.order)
    numbers(streams.dropout)
    state = streams.state_dict()
    expected = [numbers(streams.order), numbers(streams.dropout)]
    other.load_state_dict(state)
    assert [numbers(other.order), numbers(other.dropout)] == expected


# Philox4x32-10 as its authors publish it with Random123 (``tests/kat_vectors``): counter, key,
# random words.
PUBLISHED = [
    ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        (0xFFFFFFFF, 0xFFFFFFFF),
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0xA4093822, 0x299F31D0),
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_masks_are_drawn_with_the_published_philox(counter, key, words):
    found = philox([torch.tensor([c]) for c in counter], key)
    assert [int(word) for word in found] == words


def test_a_mask_is_a_function_of_its_place():
    """Any part of a larger mask is the mask of that part: rows and units have their own words."""
    masks = MaskStream(12345)
    whole = words_of(masks, layer=1, rows=9, units=11)
    assert torch.equal(words_of(masks, layer=1, rows=4, units=6), whole[:4, :6])
    assert len(whole.unique()) == whole.numel()
    assert not torch.equal(words_of(masks, layer=0, rows=9, units=11), whole)
    counter = [torch.tensor([7]), torch.tensor([2]), torch.tensor([1]), torch.tensor([0])]
    assert whole[7, 9] == philox(counter, (12345, 0))[1]  # unit 9 is the second of its four
