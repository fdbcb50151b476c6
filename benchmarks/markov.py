"""Hidden Markov models: iterations of Baum-Welch."""

import math
from functools import cache, partial

import numpy as np
import torch

from benchmarks.harness import Row, Work, in_double_precision
from helpers.latent.markov import Categorical, HiddenMarkov, sample, step
from helpers.randomness import generator

TITLE = "Hidden Markov models"
STEPS, SYMBOLS = 5, 8
LIMITS = {
    "wide": (
        "Half of the time goes into the matrices of the chunks, eight times the arithmetic of a recursion, in products "
        "whose inner dimension is 8. They have to stay in a core's own cache: what else runs on the machine decides."
    ),
    "many": (
        "The recursions, two hundred products with matrices of 4 by 1000, are a third of the time, `np.bincount` of "
        "the symbols, state by state, is a fifth, and the rest a dozen passes over 4·10⁵ numbers. Chunks, another "
        "order of the axes, and sums of symbols by a matrix product or a sparse matrix were tried and are no faster."
    ),
}


def drawn(name, *shape):
    """Rows of probabilities, uniform among all such."""
    draw = torch.rand(shape, generator=generator(f"benchmarks: {name} {shape}"), dtype=torch.float64).log().neg()
    return draw / draw.sum(-1, keepdim=True)


def chain(name, states):
    """States that mostly stay."""
    transitions = 0.7 * torch.eye(states, dtype=torch.float64) + 0.3 * drawn(f"{name}: moves", states, states)
    return HiddenMarkov(drawn(f"{name}: start", states), transitions, Categorical(drawn(name, states, SYMBOLS)))


def hmmlearn_steps():
    from hmmlearn.hmm import CategoricalHMM

    def call(x, initial, transitions, table):
        options = dict(n_iter=STEPS, tol=-math.inf, init_params="", implementation="scaling", n_features=SYMBOLS)
        model = CategoricalHMM(len(initial), **options)
        model.startprob_, model.transmat_, model.emissionprob_ = initial, transitions, table
        model.fit(x.reshape(-1, 1), [x.shape[1]] * len(x))
        return np.array(model.monitor_.history), model.startprob_, model.transmat_, model.emissionprob_

    return call


def pomegranate_steps():
    """A chain that may also end in each state, with a probability that is fitted as well: a little other a model."""
    from pomegranate.distributions import Categorical as Law
    from pomegranate.hmm import DenseHMM

    def call(x, initial, transitions, table):
        with in_double_precision():
            laws = [Law(torch.as_tensor(row[None].copy())) for row in table]
            chain = DenseHMM(laws, edges=transitions, starts=initial, max_iter=STEPS, tol=0.0)
            chain.fit(x[..., None])
        moves, starts = chain.edges.exp(), chain.starts.exp()
        table = np.stack([law.probs[0].detach().numpy() for law in laws])
        return None, starts.numpy(), (moves / moves.sum(1, keepdim=True)).numpy(), table

    return call


def plain_steps(x, initial, transitions, table):
    """One time after the other, scaled; all sequences at once."""
    history, one = [], np.eye(SYMBOLS)[x]
    for _ in range(STEPS):
        seen = table.T[x.T]
        forward, scales, backward = np.empty_like(seen), np.empty((*x.T.shape, 1)), np.ones_like(seen)
        ahead = initial
        for t in range(len(seen)):
            joint = ahead * seen[t]
            scales[t] = joint.sum(-1, keepdims=True)
            forward[t] = joint / scales[t]
            ahead = forward[t] @ transitions
        for t in range(len(seen) - 1, 0, -1):
            backward[t - 1] = (seen[t] * backward[t] / scales[t]) @ transitions.T
        shares, coming = forward * backward, seen * backward / scales
        history.append(np.log(scales).sum())
        moves = transitions * np.einsum("tni,tnj->ij", forward[:-1], coming[1:])
        table = np.einsum("tnk,ntv->kv", shares, one)
        initial, transitions = shares[0].mean(0), moves / moves.sum(1, keepdims=True)
        table = table / table.sum(1, keepdims=True)
    return np.array(history), initial, transitions, table


def iterations(states, length, number, peer=hmmlearn_steps):
    """Both sides fit all parameters from the same start, a chain other than the one that made the data."""
    x, _ = sample(chain("truth", states), length, number, generator=generator(f"benchmarks: chain {states} {length}"))
    begin, theirs = chain("begin", states), peer()
    start = begin.initial.numpy(), begin.transitions.numpy(), begin.emissions.probabilities.numpy()
    right = cache(partial(plain_steps, x.numpy(), *start))

    def ours():
        model, values = begin, []
        for _ in range(STEPS):
            model, value = step(x, model)
            values.append(value.item())
        return values, model.initial, model.transitions, model.emissions.probabilities

    def error(found):
        pairs = ((one, other) for one, other in zip(found, right(), strict=True) if one is not None)
        return max(float((np.abs(np.asarray(one) - other) / np.abs(other).max()).max()) for one, other in pairs)

    return Work(ours, lambda: theirs(x.numpy(), *start), error)


def row(key, states, length, number, what, goal, limit=""):
    work = f"Baum-Welch, {STEPS} iterations, {states} states, {SYMBOLS} symbols, {what}"
    peer = 'hmmlearn `CategoricalHMM`, `implementation="scaling"`'
    call, relative = partial(iterations, states, length, number), "the largest, of likelihoods and parameters"
    return Row(key, work, peer, call, goal=goal, within=1e-12, relative=relative, limit=limit)


ROWS = [
    row(f"baum-welch-{states}", states, 100_000, 1, "T = 10⁵", goal, limit)
    for states, goal, limit in ((2, 0.8, ""), (4, 0.7, ""), (8, 0.6, LIMITS["wide"]))
]
ROWS.append(row("baum-welch-many", 4, 100, 1000, "1000 sequences of 100", 0.15, LIMITS["many"]))
ROWS.append(
    Row(
        "baum-welch-many-pomegranate",
        ROWS[-1].work,
        "pomegranate `DenseHMM`, which fits ends as well",
        partial(iterations, 4, 100, 1000, pomegranate_steps),
        within=1e-12,
        relative=ROWS[-1].relative,
    )
)
