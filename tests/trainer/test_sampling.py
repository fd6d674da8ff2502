"""Draws of tokens: their shares, and that they depend on nothing but text, seed and number."""

import torch

from trainer.sampling import Sampling

TEXTS = [torch.arange(5), torch.arange(7), torch.arange(5) + 1]


def test_draws_have_the_shares_of_the_probabilities():
    shares = torch.tensor([0.5, 0.0, 0.3, 0.2])
    for temperature in (1.0, 0.5):
        sampling = Sampling(samples=4000, temperature=temperature, seed=3)
        keys = list(sampling.keys(TEXTS[:1]))
        drawn = torch.tensor(sampling.choose(shares.log().expand(4000, 4), keys, 0)).bincount(minlength=4) / 4000
        expected = shares ** (1 / temperature)
        torch.testing.assert_close(drawn, expected / expected.sum(), atol=0.03, rtol=0)
        assert drawn[1] == 0


def test_a_draw_does_not_depend_on_what_else_is_drawn():
    sampling = Sampling(samples=3, seed=1)
    logits = torch.randn(9, 50, generator=torch.Generator().manual_seed(0))
    keys = list(sampling.keys(TEXTS))
    assert len({*keys}) == 9
    together = sampling.choose(logits, keys, 2)
    assert keys[3:6] == list(sampling.keys(TEXTS[1:2]))
    assert sampling.choose(logits[3:6], keys[3:6], 2) == together[3:6]
    steps = [sampling.choose(logits, keys, step) for step in range(20)]
    assert steps[2] == together
    assert len({*map(tuple, steps)}) == 20
    other = Sampling(samples=3, seed=2)
    assert other.choose(logits, list(other.keys(TEXTS)), 2) != together
    more = Sampling(samples=4, seed=1)
    assert list(more.keys(TEXTS[:1]))[:3] == keys[:3], "more samples contain the fewer"


def test_one_sample_is_the_most_probable_token():
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 1.0]])
    one = Sampling(temperature=9.0)
    assert one.choose(logits, list(one.keys(TEXTS[:2])), 0) == [1, 0]
