"""Hidden Markov models: the likelihood and the posterior of the states, the best path, and Baum-Welch, which is EM."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from helpers import gaussian
from helpers.validation import above_zero, alike, count, fail, instance, probabilities, real, tensor

__all__ = [
    "Categorical",
    "HiddenMarkov",
    "Normal",
    "Smoothed",
    "forward_backward",
    "log_likelihood",
    "sample",
    "step",
    "viterbi",
]

UNSEEN = 1e-10  # expected visits, up to which a state counts as not visited
NARROW = 1e-14
TABLE, FEWEST = 2**16, 16
BORROWED, NEGLIGIBLE = 1e-30, 1e-12
RESCALED = 6  # steps, of a probability of 1e-30 at the least, whose product is far from the smallest number
LOWEST = -690.0  # a logarithm from which on the exponential is slow, and nothing beside a borrowed probability


@dataclass(frozen=True, eq=False)
class Categorical:
    r"""Emissions among M symbols: `probabilities` $b_{kv} = p(x_t = v|z_t = k)$, shape (K, M); rows sum to one.

    Observations are whole numbers from 0 to M - 1, shape (..., T).
    """

    probabilities: torch.Tensor

    def __post_init__(self):
        object.__setattr__(self, "probabilities", probabilities(self.probabilities, "probabilities", ndim=2))

    def log_density(self, observations):
        r"""$\log p(x_t|z_t = k)$, shape (..., T, K)."""
        return self.probabilities.log()[:, self._symbols(observations)].movedim(0, -1)

    def maximise(self, observations, states):
        r"""$b_{kv} = \sum_{t: x_t = v}\gamma_{tk} / \sum_t\gamma_{tk}$ for `states` $\gamma$, shape (..., T, K).

        A state without visits keeps its probabilities.
        """
        symbols, (old, outcomes) = self._symbols(observations), (self.probabilities, self.probabilities.shape[1])
        states, visits = _visits(states, (*symbols.shape, len(old)))
        if states.is_cuda:
            counts = states.new_zeros(len(old), outcomes).index_add_(1, symbols.flatten(), states.flatten(1))
        else:
            counts = [np.bincount(symbols.numpy().ravel(), one.ravel(), outcomes) for one in states.numpy()]
            counts = torch.from_numpy(np.stack(counts))
        return Categorical(torch.where(visits[:, None] > UNSEEN, counts / counts.sum(-1, keepdim=True), old).to(old))

    def draw(self, states, generator):
        """A symbol for each of the `states`, of any shape."""
        flat = torch.multinomial(self.probabilities[states.flatten()], 1, generator=generator)
        return flat.reshape(states.shape)

    def _symbols(self, observations):
        symbols, last = _numbers(observations, "observations", "T"), self.probabilities.shape[1] - 1
        if symbols.is_floating_point():
            fail("observations", f"whole numbers from 0 to {last}", f"dtype {symbols.dtype}")
        symbols = symbols.to(self.probabilities.device, torch.long)
        low, high = (end.item() for end in symbols.aminmax())
        if low < 0 or high > last:
            fail("observations", f"whole numbers from 0 to {last}", f"from {low} to {high}")
        return symbols


@dataclass(frozen=True, eq=False)
class Normal:
    r"""Normal emissions on the line, $x_t|z_t = k \sim \mathcal N(\mu_k, \sigma_k^2)$.

    `means` and `variances`, shape (K,). Observations are numbers, shape (..., T).
    """

    means: torch.Tensor
    variances: torch.Tensor

    def __post_init__(self):
        means, variances = alike(means=self.means, variances=self.variances)
        if means.ndim != 1 or means.shape != variances.shape:
            fail("means, variances", "shapes (K,)", f"{tuple(means.shape)} and {tuple(variances.shape)}")
        above_zero(variances, "variances")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "variances", variances)

    def log_density(self, observations):
        r"""$\log\phi(x_t; \mu_k, \sigma_k^2)$, shape (..., T, K)."""
        x = self._line(observations)
        means, variances = (one.reshape(-1, *[1] * x.ndim) for one in (self.means, self.variances))
        return gaussian.log_density(x, means, variances).movedim(0, -1)

    def maximise(self, observations, states):
        r"""Means and variances weighted by `states` $\gamma_{tk}$, shape (..., T, K), variances about the new means.

        A state without visits keeps its mean and variance. Raises `RuntimeError` where a state has collapsed onto one
        observation: the likelihood then has no bound.
        """
        x = self._line(observations)
        states, visits = _visits(states, (*x.shape, len(self.means)))
        x, states, visited = x.flatten().to(states), states.flatten(1), visits > UNSEEN
        mass = visits.clamp_min(UNSEEN)
        means = states @ x / mass
        away = (x - means[:, None]).square()
        variances = torch.einsum("kt,kt->k", states, away) / mass
        narrow = visited & (variances <= NARROW**2 * away.amax(1))
        if narrow.any():
            raise RuntimeError(f"Baum-Welch: state {narrow.nonzero()[0].item()} has collapsed onto one observation")
        new = ((means, self.means), (variances, self.variances))
        return Normal(*(torch.where(visited, found, old).to(old) for found, old in new))

    def draw(self, states, generator):
        """A number for each of the `states`, of any shape."""
        noise = torch.randn(states.shape, generator=generator, dtype=self.means.dtype, device=self.means.device)
        return self.means[states] + self.variances.sqrt()[states] * noise

    def _line(self, observations):
        return tensor(_numbers(observations, "observations", "T"), "observations").to(self.means)


@dataclass(frozen=True, eq=False)
class HiddenMarkov:
    r"""A chain of hidden states $z_1, z_2, \dots$ among K, and what is seen of each.

    `initial` $p(z_1 = k)$, shape (K,); `transitions` $p(z_{t+1} = j|z_t = i)$, shape (K, K), rows sum to one;
    `emissions`, a `Categorical` or a `Normal` of K states.
    """

    initial: torch.Tensor
    transitions: torch.Tensor
    emissions: Categorical | Normal

    def __post_init__(self):
        initial, transitions = alike(initial=self.initial, transitions=self.transitions)
        initial, transitions = _chain(initial, transitions, tensor(initial, "initial", ndim=1).shape[0])
        instance(self.emissions, "emissions", Categorical, Normal)
        object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "transitions", transitions)


@dataclass(frozen=True, eq=False)
class Smoothed:
    r"""What the observations say about the states.

    `log_likelihood` $\log p(x_{1:T})$, shape (...); `states` $\gamma_{tk} = p(z_t = k|x_{1:T})$, shape (..., T, K);
    `moves` $\sum_t p(z_t = i, z_{t+1} = j|x_{1:T})$, shape (..., K, K).
    """

    log_likelihood: torch.Tensor
    states: torch.Tensor
    moves: torch.Tensor


def forward_backward(log_emissions, initial, transitions):
    r"""The posterior of the states, by recursions forward and backward in time.

    `log_emissions` $\log p(x_t|z_t = k)$, shape (..., T, K): leading axes are sequences of one length; `initial`,
    shape (K,); `transitions`, (K, K). With $\alpha_t(k) = p(z_t = k|x_{1:t})$ and
    $c_t = p(x_t|x_{1:t-1})$: $\log p(x_{1:T}) = \sum_t\log c_t$. Returns `Smoothed`, without gradients. Long sequences
    are cut into chunks that are treated at once; only where observations all but contradict the zeros of a chain do
    single steps follow one another, in logarithms. Raises `ValueError` for observations that are impossible under the
    model. Source: Rabiner, 1989, sections III.A, III.B, V.A.
    """
    log_emissions, initial, transitions, like = _posed(log_emissions, initial, transitions)
    *batch, length, states = shape = log_emissions.shape
    logs = _parts(log_emissions.reshape(-1, length, states), states)
    found = _recursions(*_scaled(logs), initial, transitions, length)
    value, shares, moves = found or _in_logarithms(logs, initial, transitions, length)
    shares = shares.permute(2, 1, 0, 3).reshape(len(value), -1, states)[:, :length].reshape(shape)
    return Smoothed(*(one.to(like) for one in (value.view(batch), shares, moves.view(*batch, states, states))))


def log_likelihood(observations, model):
    r"""$\log p(x_{1:T})$ of each sequence under a `HiddenMarkov` model, shape (...), for observations (..., T)."""
    model = _model(model)
    return forward_backward(model.emissions.log_density(observations), model.initial, model.transitions).log_likelihood


def viterbi(log_emissions, initial, transitions):
    r"""The most probable path $\arg\max_{z_{1:T}} p(z_{1:T}|x_{1:T})$ and $\log p(x_{1:T}, z_{1:T})$ along it.

    Arguments as for `forward_backward`. Returns the path, whole numbers of shape (..., T), and shape (...). Of several
    best paths one is returned. Source: Viterbi, 1967; Rabiner, 1989, section III.B.
    """
    log_emissions, initial, transitions, like = _posed(log_emissions, initial, transitions)
    *batch, length, states = log_emissions.shape
    logs = log_emissions.reshape(-1, length, states).permute(1, 2, 0).contiguous()
    best, moves = initial.log()[:, None] + logs[0], transitions.log()[:, :, None]
    before = torch.empty(logs.shape, dtype=torch.long, device=logs.device)
    for t in range(1, length):
        best, before[t] = (best[:, None] + moves).max(0)
        best += logs[t]
    value, state = best.max(0)
    _possible(value)
    path = [state]
    for t in range(length - 1, 0, -1):
        path.append(before[t].gather(0, path[-1][None])[0])
    return torch.stack(path[::-1], -1).view(*batch, length), value.view(batch).to(like)


def step(observations, model):
    r"""One iteration of Baum-Welch, which is EM: the model that follows, and $\log p$ of all sequences under `model`.

    $p(z_1 = k)$ becomes the mean of $\gamma_{1k}$ over the sequences, each row of the transitions the expected moves
    from its state over their sum, and the emissions their own M-step. A state that is never left keeps its row, one
    without visits its emissions; a `Normal` state that collapses onto one observation raises `RuntimeError`. To be
    repeated by `helpers.likelihood.ascend`. Source: Baum, Petrie, Soules, Weiss, 1970.
    """
    model = _model(model)
    x = _numbers(observations, "observations", "T")
    length = x.shape[-1]
    x = _parts(x.reshape(-1, length), len(model.initial))
    seen, peak = _relative(model.emissions, x)
    initial, transitions = _exact(*_chain(model.initial, model.transitions, seen.shape[-1]))
    found = _recursions(seen, peak, initial, transitions, length, pooled=True)
    value, shares, moves = found or _in_logarithms(model.emissions.log_density(x), initial, transitions, length)
    emissions = model.emissions.maximise(x, shares)
    first, moves = shares[0, 0].mean(0), moves.sum(0)
    left = moves.sum(-1, keepdim=True)
    chain = first / first.sum(), torch.where(left > UNSEEN, moves / left, transitions)
    return HiddenMarkov(*(one.to(model.initial) for one in chain), emissions), value.sum().to(model.initial)


def sample(model, length, number=1, *, generator):
    """`number` sequences of `length`: the observations and the states, each shape (number, length)."""
    model, length, number = _model(model), count(length, "length"), count(number, "number")
    instance(generator, "generator", torch.Generator)
    states = [torch.multinomial(model.initial, number, replacement=True, generator=generator)]
    for _ in range(length - 1):
        states.append(torch.multinomial(model.transitions[states[-1]], 1, generator=generator)[:, 0])
    states = torch.stack(states, -1)
    return model.emissions.draw(states, generator), states


def _chain(initial, transitions, states):
    initial = probabilities(tensor(initial, "initial", shape=(states,)), "initial")
    transitions = probabilities(transitions, "transitions", ndim=2)
    if transitions.shape != (states, states):
        fail("transitions", f"shape {(states, states)}", f"shape {tuple(transitions.shape)}")
    return initial, transitions


def _numbers(value, name, axes):
    """`value` as a tensor of real numbers of any kind, infinite ones among them, with at least these last `axes`."""
    value = real(value, name)
    if value.ndim < len(axes) or value.numel() == 0:
        fail(name, f"shape (..., {', '.join(axes)})", f"shape {tuple(value.shape)}")
    return value.detach()


def _posed(log_emissions, initial, transitions):
    """The three in float64, and a tensor whose precision and device the results take."""
    given = isinstance(log_emissions, torch.Tensor)
    log_emissions = _numbers(log_emissions, "log_emissions", "TK")
    beside = log_emissions.new_zeros(1) if given else 0.0
    _, initial, transitions = alike(log_emissions=beside, initial=initial, transitions=transitions)
    chain = _exact(*_chain(initial, transitions, log_emissions.shape[-1]))
    return log_emissions.to(initial.device, torch.float64), *chain, initial.detach()


def _exact(initial, transitions):
    """The chain in float64, its sums one also where rounding to less has moved them."""
    initial, transitions = initial.detach().double(), transitions.detach().double()
    return initial / initial.sum(), transitions / transitions.sum(-1, keepdim=True)


def _possible(logs):
    highest = logs.max()
    if not highest < torch.inf:
        fail("log_emissions", "numbers below infinity", highest.item())
    if logs.min() == -torch.inf:
        fail("log_emissions", "observations that are possible under the model", "a sequence of probability zero")


def _model(model):
    return instance(model, "model", HiddenMarkov)


def _visits(states, shape):
    r"""The `states` $\gamma$ in float64, with K in front, and the expected visits to each, shape (K,)."""
    states = _numbers(states, "states", "TK")
    if states.shape != shape:
        fail("states", f"shape {tuple(shape)}", f"shape {tuple(states.shape)}")
    states = states.movedim(-1, 0).double()
    visits = states.sum(tuple(range(1, states.ndim)))
    lowest = states.min() if states.is_cuda else states.numpy().min()  # of axes in any order, NumPy is the faster
    if not (lowest >= 0 and visits.isfinite().all()):
        fail("states", "finite numbers of at least 0", f"numbers from {states.min().item()} to {states.max().item()}")
    return states, visits


# The recursions. Time is cut into C chunks of length L, which all go through their positions at once: first to find the
# matrix that a chunk is, from which follows what enters and what leaves each of them; then forward; then backward.
# Shapes: (L, K, C, N) for N sequences.


def _parts(x, states):
    """The sequences `x`, shape (N, T, ...), in chunks, shape (L, C, N, ...); the last value fills them up."""
    sequences, length = x.shape[:2]
    chunks = min(4 * math.sqrt(length), TABLE / (sequences * states**2))
    chunks = 2 ** int(math.log2(chunks)) if chunks >= FEWEST else 1
    positions = -(-length // chunks)
    if chunks * positions > length:
        x = torch.cat([x, x[:, -1:].expand(-1, chunks * positions - length, *x.shape[2:])], 1)
    return x.unflatten(1, (chunks, positions)).transpose(0, 2).contiguous()


def _scaled(logs):
    r"""$p(x_t|z_t = k) / \max_j p(x_t|z_t = j)$ for `logs` of shape (..., K), and the logarithm of the maximum."""
    peak = logs.amax(-1)
    gap = logs - peak[..., None]
    if gap.min() < LOWEST:
        gap[gap < LOWEST] = -torch.inf
    if not gap.is_cuda:
        np.exp(gap.numpy(), out=gap.numpy())
        return gap, peak
    return gap.exp_(), peak


def _relative(emissions, x):
    """`_scaled` densities in float64; of each symbol once, where there are symbols."""
    if not isinstance(emissions, Categorical):
        return _scaled(emissions.log_density(x).detach().double())
    symbols, tables = emissions._symbols(x), _scaled(emissions.probabilities.detach().double().log().T)
    if symbols.is_cuda:
        return [table[symbols] for table in tables]
    table, peak = (torch.from_numpy(one.numpy().T.take(symbols.numpy(), -1)) for one in tables)
    return table.movedim(0, -1), peak


def _recursions(seen, peak, initial, transitions, length, pooled=False):
    r"""$\log p(x_{1:T})$, shape (N,); $p(z_t = k|x_{1:T})$, shape (L, C, N, K); and the expected moves, shape
    (N, K, K), or (1, K, K) over all sequences, `pooled`. Emissions as by `_scaled`, shapes (L, C, N, K), (L, C, N).

    Every start and every transition borrows a probability of 1e-30, so that a product of a few steps is never too
    small for a floating-point number. All that this changes is bounded by the expected number of moves on borrowed
    probability, known in the end; None where it is not negligible.
    """
    _possible(peak)
    positions, chunks, sequences, states = seen.shape
    full = length // positions
    times = torch.arange(full * positions, chunks * positions, device=seen.device).view(-1, positions).T
    late = times >= length
    peak[:, full:][late] = 0.0
    seen[:, full:][late] = 1.0
    room = seen.new_empty(3, positions, states, chunks * sequences)
    room[0] = seen.movedim(-1, 1).flatten(2)
    back = transitions + BORROWED
    onward = back.T.contiguous()
    arrays = room, *_ends(room[0].unflatten(2, (chunks, sequences)), onward, initial + BORROWED), onward, back
    xp, arrays = (torch, arrays) if seen.is_cuda else (np, [one.numpy() for one in arrays])
    scales = torch.as_tensor(_sweep(xp, *arrays))
    coming, forward, shares = room.unflatten(3, (chunks, sequences))
    shares[0, :, 0] = initial[:, None] * coming[0, :, 0]
    for one in (coming, shares):
        one[:, :, full:].movedim(1, -1)[late] = 0.0
    moves = _moves(forward[:-1], coming[1:], pooled) + _moves(forward[-1:, :, :-1], coming[:1, :, 1:], pooled)
    if BORROWED * (coming[0, :, 0].sum() + moves.sum()) > NEGLIGIBLE:
        return None
    value = scales.log().sum(0).view(chunks, sequences).sum(0) + peak.sum((0, 1))
    return value, shares.movedim(1, -1), transitions * moves


def _sweep(xp, room, ahead, behind, onward, back):
    """Forward and back through all chunks at once, given their `_ends`. The `room`, shape (3, L, K, C N), holds the
    emissions first; in the end what a move into a state weighs, the filters, and the posteriors. Returns the factors
    by which the filters were scaled, shape (S, C N)."""
    (seen, forward, shares), scales = room, {}
    for t in range(len(seen)):
        xp.multiply(ahead, seen[t], out=forward[t])
        if t % RESCALED == RESCALED - 1 or t == len(seen) - 1:
            scales[t] = forward[t].sum(0)
            forward[t] /= scales[t]
        xp.matmul(onward, forward[t], out=ahead)
    behind = behind / (ahead * behind).sum(0)
    for t in reversed(range(len(seen))):
        xp.matmul(back, behind, out=shares[t])
        behind = xp.multiply(seen[t], shares[t], out=seen[t])
        if t in scales:
            behind /= scales[t]
        shares[t] *= forward[t]
    return xp.stack(list(scales.values()))


def _moves(here, there, pooled):
    """Products of what is `here` and what is `there`, a step later, shapes (L, K, C, N), summed over time."""
    here, there = ((one if pooled else one.permute(3, 1, 0, 2)).flatten(2) for one in (here, there))
    found = here @ there.mT if here.is_cuda else torch.from_numpy(here.numpy() @ there.mT.numpy())
    return found.sum(0, keepdim=True) if pooled else found


def _ends(seen, onward, first):
    r"""What enters each chunk, in proportion to $p(z_t|x_{1:t-1})$ at its first position, and what leaves it, to
    $p(x_{t:T}|z_t)$ at the first position of the next: each of shape (K, C N). Emissions of shape (L, K, C, N)."""
    positions, states, chunks, sequences = seen.shape
    last = torch.ones_like(seen[0, :, 0])
    first = first[:, None] * last
    if chunks == 1:
        return first, last
    seen = seen.flatten(2)
    product = onward[:, :, None] * seen[0]
    spare = torch.empty_like(product)
    for t in range(1, positions):
        product *= seen[t, :, None]
        if t % RESCALED == 0:
            product /= product.sum((0, 1))
        torch.matmul(onward, product.view(states, -1), out=spare.view(states, -1))
        product, spare = spare, product
    ends = _through(product.view(states, states, chunks, sequences), first, last)
    return [one.reshape(states, -1) for one in ends]


def _through(product, first, last):
    """What enters and what leaves each chunk, a power of two of them, where `first` enters and `last` leaves all."""
    if product.shape[2] == 1:
        return first[:, None], last[:, None]
    product = product / product.sum((0, 1))
    early, late = product[:, :, ::2], product[:, :, 1::2]
    enter, leave = _through((late[:, :, None] * early).sum(1), first, last)
    ahead, behind = (early * enter).sum(1), (late * leave[:, None]).sum(0)
    pairs = (enter, ahead / ahead.sum(0)), (behind / behind.sum(0), leave)
    return [torch.stack(pair, 2).flatten(1, 2) for pair in pairs]


def _in_logarithms(logs, initial, transitions, length):
    r"""What `_recursions` returns, one step after the other; `logs` $\log p(x_t|z_t = k)$, shape (L, C, N, K)."""
    logs = logs.detach().double().movedim(-1, 2)
    steps = [divmod(t, len(logs))[::-1] for t in range(length)]
    moving = transitions.log()[:, :, None]
    forward, shares, scales = torch.empty_like(logs), torch.zeros_like(logs), []
    ahead = initial.log()[:, None]
    for now in steps:
        joint = ahead + logs[now]
        scales.append(joint.logsumexp(0))
        _possible(scales[-1])
        forward[now] = joint - scales[-1]
        ahead = (forward[now][:, None] + moving).logsumexp(0)
    behind, moves = torch.zeros_like(joint), torch.zeros_like(moving + joint)
    for t in reversed(range(length)):
        now = steps[t]
        shares[now] = (forward[now] + behind).softmax(0)
        if t:
            joint = moving + (logs[now] + behind - scales[t])
            moves += (forward[steps[t - 1]][:, None] + joint).flatten(0, 1).softmax(0).view(moves.shape)
            behind = joint.logsumexp(1)
    return torch.stack(scales).sum(0), shares.movedim(2, -1), moves.movedim(-1, 0)
