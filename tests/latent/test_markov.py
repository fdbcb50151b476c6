import itertools
import math

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM, GaussianHMM
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.latent import markov, mixture
from helpers.latent.markov import (
    Categorical,
    HiddenMarkov,
    Normal,
    forward_backward,
    log_likelihood,
    sample,
    step,
    viterbi,
)
from helpers.likelihood import ascend
from helpers.randomness import generator

INF, NAN = float("inf"), float("nan")
RING = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.7, 0.3], [0.4, 0.0, 0.6]], dtype=torch.float64)
LEFT_RIGHT = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.8, 0.2], [0.0, 0.0, 1.0]], dtype=torch.float64)


def chain(normal, name, states):
    """An initial law and transitions, none of them zero."""
    drawn = (2 * normal(f"chain {name}", states + 1, states)).softmax(-1)
    return drawn[0], drawn[1:]


def forward(logs, initial, transitions):
    """The logarithm of the likelihood of one sequence: sums over the states in logarithms, one step after the other."""
    ahead = initial.log()
    for log in logs[:-1]:
        ahead = ((ahead + log)[:, None] + transitions).logsumexp(0)
    return (ahead + logs[-1]).logsumexp(0)


def reference(logs, initial, transitions):
    """Likelihood, posterior and moves: derivatives of log p by the log emissions and by the log transitions."""
    logs, moves = logs.clone().requires_grad_(), transitions.log().requires_grad_()
    value = forward(logs, initial, moves)
    states, moves = torch.autograd.grad(value, (logs, moves), allow_unused=True)
    return value.detach(), states, torch.zeros_like(transitions) if moves is None else moves


def enumerated(logs, initial, transitions):
    """Likelihood, posterior, moves, and the best path with its log probability: from each of the K^T paths."""
    length, states = logs.shape
    paths = torch.tensor(list(itertools.product(range(states), repeat=length)))
    joint = initial.log()[paths[:, 0]] + transitions.log()[paths[:, :-1], paths[:, 1:]].sum(1)
    joint = joint + logs[torch.arange(length), paths].sum(1)
    value, best = joint.logsumexp(0), joint.argmax()
    one = torch.nn.functional.one_hot(paths, states).double()
    shares = torch.einsum("p,ptk->tk", (joint - value).exp(), one)
    moves = torch.einsum("p,pti,ptj->ij", (joint - value).exp(), one[:, :-1], one[:, 1:])
    return value, shares, moves, paths[best], joint[best]


def same(found, wanted, tolerance=1e-12):
    value, states, moves = wanted
    torch.testing.assert_close(found.log_likelihood, value, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.states, states, rtol=0, atol=100 * tolerance)
    torch.testing.assert_close(found.moves, moves, rtol=100 * tolerance, atol=100 * tolerance)


# The posterior of the states


@pytest.mark.parametrize(("states", "length"), [(1, 1), (1, 5), (2, 1), (2, 2), (2, 9), (3, 1), (3, 6), (5, 4)])
def test_likelihood_posterior_moves_and_best_path_are_those_of_all_paths(normal, states, length):
    logs, (initial, transitions) = 3 * normal(f"all {states} {length}", length, states), chain(normal, length, states)
    *wanted, path, value = enumerated(logs, initial, transitions)
    same(forward_backward(logs, initial, transitions), wanted)
    found, best = viterbi(logs, initial, transitions)
    assert found.tolist() == path.tolist()
    torch.testing.assert_close(best, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("transitions", [RING, LEFT_RIGHT, torch.eye(3).double()], ids=["ring", "left-right", "still"])
@pytest.mark.parametrize("initial", [[1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
def test_paths_that_are_forbidden_have_no_part(normal, transitions, initial):
    logs, initial = 3 * normal("forbidden", 7, 3), torch.tensor(initial, dtype=torch.float64)
    logs[2, 1] = logs[6, 1] = logs[6, 2] = -INF
    logs[6, 0] = 0.0 if initial[0] < 1 or transitions[2, 0] > 0 or transitions[0, 0] > 0 else -1.0
    *wanted, path, value = enumerated(logs, initial, transitions)
    found = forward_backward(logs, initial, transitions)
    same(found, wanted)
    assert (found.moves[transitions == 0] == 0).all()
    assert (found.states[0][initial == 0] == 0).all()
    best, highest = viterbi(logs, initial, transitions)
    assert best.tolist() == path.tolist()
    assert highest.item() == pytest.approx(value.item(), rel=1e-12)


@pytest.mark.parametrize("states", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 18, 31, 33, 63, 64, 65, 100, 255, 256, 257, 300])
def test_posterior_and_moves_are_the_slopes_of_the_likelihood(normal, states, length):
    logs, (initial, transitions) = 2 * normal(f"slopes {states}", length, states), chain(normal, "slopes", states)
    same(forward_backward(logs, initial, transitions), reference(logs, initial, transitions))


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("length", [16, 17, 47, 64, 127, 500, 2049])
def test_chunks_change_nothing(normal, monkeypatch, sequences, length):
    logs, (initial, transitions) = 2 * normal("chunks", sequences, length, 3), chain(normal, "chunks", 3)
    found = [forward_backward(logs, initial, one) for one in (transitions, RING)]
    monkeypatch.setattr(markov, "FEWEST", INF)
    for one, other in zip(found, (transitions, RING), strict=True):
        whole = forward_backward(logs, initial, other)
        same(one, (whole.log_likelihood, whole.states, whole.moves))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 4), st.integers(1, 40))
def test_whatever_is_forbidden_the_likelihood_is_that_in_logarithms(draw, states, length):
    def table(rows):
        numbers = st.sampled_from([0.0, 0.0, 1e-200, 1e-9, 0.5, 1.0])
        row = st.lists(numbers, min_size=states, max_size=states).filter(any)
        drawn = torch.tensor([draw.draw(row) for _ in range(rows)], dtype=torch.float64)
        return drawn / drawn.sum(-1, keepdim=True)

    initial, transitions, kinds = table(1)[0], table(states), table(5).log()
    kinds = torch.where(kinds < -100, 5 * kinds, kinds)
    logs = kinds[draw.draw(st.lists(st.integers(0, 4), min_size=length, max_size=length))]
    value = forward(logs, initial, transitions.log())
    if value == -INF:
        for function in (forward_backward, viterbi):
            with pytest.raises(ValueError, match="^log_emissions: wanted observations that are possible under the mod"):
                function(logs, initial, transitions)
        return
    found = forward_backward(logs, initial, transitions)
    torch.testing.assert_close(found.log_likelihood, value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.states.sum(-1), torch.ones(length).double(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.moves.sum(-1), found.states[:-1].sum(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.moves.sum(-2), found.states[1:].sum(0), rtol=1e-10, atol=1e-10)
    path, best = viterbi(logs, initial, transitions)
    along = initial.log()[path[0]] + transitions.log()[path[:-1], path[1:]].sum() + logs[range(length), path].sum()
    torch.testing.assert_close(best, along, rtol=1e-12, atol=1e-12)
    assert best <= value + 1e-9


@pytest.mark.parametrize("leak", [0.0, 1e-250, 1e-100, 1e-20])
def test_a_state_given_up_by_both_ends_of_the_data_may_still_be_right(leak):
    transitions = torch.tensor([[1 - leak, leak], [leak, 1 - leak]], dtype=torch.float64)
    logs = torch.zeros(900, 2, dtype=torch.float64)
    logs[:300, 1], logs[300:600, 0], logs[600:, 1] = -10.0, -30.0, -10.0
    found = forward_backward(logs, [0.5, 0.5], transitions)
    if leak:
        same(found, reference(logs, torch.tensor([0.5, 0.5]).double(), transitions), 1e-11)
    else:
        other = torch.tensor([0.0, 1.0]).double()
        same(found, (torch.tensor(-6000 - math.log(2), dtype=torch.float64), other.expand(900, 2), 899 * other.diag()))


@pytest.mark.parametrize("leak", [1e-3, 1e-8, 1e-16, 1e-60])
def test_a_chain_that_hardly_moves_remembers(normal, leak):
    transitions = leak + (1 - 3 * leak) * torch.eye(3, dtype=torch.float64)
    logs, initial = 4 * normal("hardly", 400, 3), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    same(forward_backward(logs, initial, transitions), reference(logs, initial, transitions), 1e-11)


@pytest.mark.parametrize("spread", [1e2, 1e6])
@pytest.mark.parametrize("length", [20, 3000])
def test_states_a_million_deviations_apart_are_told_apart(spread, length):
    model = HiddenMarkov([1.0, 0.0, 0.0], RING, Normal(torch.arange(3.0).double() * spread, torch.ones(3).double()))
    x, states = sample(model, length, 4, generator=generator(f"apart {spread} {length}"))
    logs = model.emissions.log_density(x)
    found = forward_backward(logs, model.initial, RING)
    torch.testing.assert_close(found.states, torch.nn.functional.one_hot(states, 3).double(), rtol=0, atol=1e-12)
    assert torch.equal(viterbi(logs, model.initial, RING)[0], states)
    own = logs.gather(-1, states[..., None]).sum((-2, -1)) + RING.log()[states[:, :-1], states[:, 1:]].sum(-1)
    torch.testing.assert_close(found.log_likelihood, own, rtol=1e-12, atol=0)


def peer(model, **options):
    """hmmlearn's model of the same numbers."""
    normal = isinstance(model.emissions, Normal)
    options |= {"implementation": "log", "init_params": "", "tol": -INF}
    if normal:
        one = GaussianHMM(len(model.initial), "diag", **options)
        one.means_, one.covars_ = model.emissions.means[:, None].numpy(), model.emissions.variances[:, None].numpy()
    else:
        one = CategoricalHMM(len(model.initial), n_features=model.emissions.probabilities.shape[1], **options)
        one.emissionprob_ = model.emissions.probabilities.numpy()
    one.startprob_, one.transmat_ = model.initial.numpy(), model.transitions.numpy()
    return one


@pytest.mark.parametrize("spread", [1.0, 10.0, 1e6])
@pytest.mark.parametrize("length", [1, 30, 2000])
def test_likelihood_and_posterior_are_those_of_hmmlearn(normal, spread, length):
    initial, transitions = chain(normal, f"hmmlearn {spread} {length}", 3)
    model = HiddenMarkov(initial, transitions, Normal(spread * torch.arange(3.0).double(), [1.0, 0.5, 2.0]))
    x, _ = sample(model, length, 1, generator=generator(f"hmmlearn {spread} {length}"))
    value, states = peer(model).score_samples(x.T.numpy())
    found = forward_backward(model.emissions.log_density(x[0]), initial, transitions)
    assert found.log_likelihood.item() == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found.states, states, rtol=0, atol=1e-9)


def test_steps_are_those_of_hmmlearn(normal):
    initial, transitions = chain(normal, "steps of hmmlearn", 3)
    model = HiddenMarkov(initial, transitions, Categorical(normal("symbols", 3, 5).softmax(-1)))
    x, _ = sample(model, 50, 8, generator=generator("steps of hmmlearn"))
    begin = HiddenMarkov(*chain(normal, "elsewhere", 3), Categorical(normal("others", 3, 5).softmax(-1)))
    theirs = peer(begin, n_iter=10).fit(x.reshape(-1, 1).numpy(), [50] * 8)
    ascent = ascend(lambda model: step(x, model), begin, steps=10, tolerance=0)
    np.testing.assert_allclose(ascent.values[:10], theirs.monitor_.history, rtol=1e-12)
    np.testing.assert_allclose(ascent.model.initial, theirs.startprob_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ascent.model.transitions, theirs.transmat_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ascent.model.emissions.probabilities, theirs.emissionprob_, rtol=0, atol=1e-9)


def test_a_long_sequence_is_that_of_the_plain_recursion(normal):
    logs, (initial, transitions) = 2 * normal("long", 50_000, 3), chain(normal, "long", 3)
    ahead, value = initial.numpy(), 0.0
    for row in logs.exp().numpy():
        joint = ahead * row
        value += math.log(joint.sum())
        ahead = joint / joint.sum() @ transitions.numpy()
    found = forward_backward(logs, initial, transitions)
    assert found.log_likelihood.item() == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found.states[-1], joint / joint.sum(), rtol=1e-10)
    np.testing.assert_allclose(found.states.sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(found.moves.sum(-1), found.states[:-1].sum(0), rtol=1e-12)


@pytest.mark.parametrize("length", [1, 10, 200])
def test_states_may_be_named_in_any_order(normal, length):
    logs, (initial, transitions) = 2 * normal("names", length, 4), chain(normal, "names", 4)
    order = torch.tensor([2, 0, 3, 1])
    found = forward_backward(logs, initial, transitions)
    renamed = forward_backward(logs[:, order], initial[order], transitions[order][:, order])
    same(renamed, (found.log_likelihood, found.states[:, order], found.moves[order][:, order]))
    path = viterbi(logs, initial, transitions)[0]
    assert torch.equal(order[viterbi(logs[:, order], initial[order], transitions[order][:, order])[0]], path)


@pytest.mark.parametrize("length", [2, 10, 200])
def test_a_reversible_chain_runs_backwards_as_well(normal, length):
    flow = normal("flow", 4, 4).exp()
    flow = flow + flow.T
    transitions, initial = flow / flow.sum(-1, keepdim=True), flow.sum(-1) / flow.sum()
    logs = 2 * normal("backwards", length, 4)
    found, back = (forward_backward(one, initial, transitions) for one in (logs, logs.flip(0)))
    same(back, (found.log_likelihood, found.states.flip(0), found.moves.T))
    assert torch.equal(viterbi(logs.flip(0), initial, transitions)[0].flip(0), viterbi(logs, initial, transitions)[0])


@pytest.mark.parametrize("length", [1, 5, 130])
def test_sequences_side_by_side_are_each_on_their_own(normal, length):
    logs, (initial, transitions) = 2 * normal("side", 2, 3, length, 3), chain(normal, "side", 3)
    found, (path, best) = forward_backward(logs, initial, transitions), viterbi(logs, initial, transitions)
    assert (found.log_likelihood.shape, found.moves.shape, path.shape) == ((2, 3), (2, 3, 3, 3), (2, 3, length))
    for i, j in itertools.product(range(2), range(3)):
        alone = forward_backward(logs[i, j], initial, transitions)
        for one, other in zip(vars(alone).values(), vars(found).values(), strict=True):
            torch.testing.assert_close(other[i, j], one, rtol=1e-11, atol=1e-12)
        single, value = viterbi(logs[i, j], initial, transitions)
        assert torch.equal(path[i, j], single)
        torch.testing.assert_close(best[i, j], value, rtol=1e-14, atol=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(-40, 40))
def test_a_constant_in_the_log_emissions_only_moves_the_likelihood(length, quarters):
    logs = torch.linspace(-3, 3, 2 * length).double().sin().view(length, 2) * 5
    chain = [0.25, 0.75], [[0.5, 0.5], [0.125, 0.875]]
    found, moved = forward_backward(logs, *chain), forward_backward(logs + quarters / 4, *chain)
    shifted = found.log_likelihood + length * quarters / 4
    same(moved, (shifted, found.states, found.moves), 1e-11)
    assert torch.equal(viterbi(logs, *chain)[0], viterbi(logs + quarters / 4, *chain)[0])


# Emissions


def test_symbols_have_the_probabilities_of_the_table():
    table = Categorical([[0.5, 0.25, 0.25], [0.0, 0.125, 0.875]])
    np.testing.assert_allclose(
        table.log_density([[0, 2], [1, 1]]).exp(), [[[0.5, 0], [0.25, 0.875]], [[0.25, 0.125]] * 2]
    )
    found = table.maximise([0, 2, 2, 1], [[0.5, 0.5], [1, 0], [0, 1], [0.5, 0.5]])
    np.testing.assert_allclose(found.probabilities, [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5]], rtol=1e-15)


def test_normal_emissions_are_those_of_scipy(normal):
    means, variances, x = normal("means", 3), normal("variances", 3).exp(), 3 * normal("x", 2, 40)
    emissions = Normal(means, variances)
    referee = stats.norm(means.numpy(), variances.sqrt().numpy()).logpdf(x.numpy()[..., None])
    np.testing.assert_allclose(emissions.log_density(x), referee, rtol=1e-12)
    states = normal("states", 2, 40, 3).softmax(-1)
    found, flat, weights = emissions.maximise(x, states), x.flatten().numpy(), states.reshape(-1, 3).T.numpy()
    np.testing.assert_allclose(found.means, [np.average(flat, weights=one) for one in weights], rtol=1e-12)
    np.testing.assert_allclose(found.variances, [np.cov(flat, aweights=one, ddof=0) for one in weights], rtol=1e-12)


def test_the_variance_of_data_far_from_zero_is_exact(normal):
    x = 1e9 + normal("far from zero", 500).round(decimals=2)
    found = Normal([0.0], [1.0]).maximise(x, torch.ones(500, 1))
    np.testing.assert_allclose(found.variances, np.var(x.numpy() - 1e9), rtol=1e-10)


@pytest.mark.parametrize("weight", [0.0, 1e-300])
def test_a_state_without_visits_keeps_its_emissions(weight):
    states = torch.tensor([[1.0, weight]] * 3).double()
    found = Categorical([[0.5, 0.5], [0.25, 0.75]]).maximise([0, 1, 1], states)
    np.testing.assert_allclose(found.probabilities, [[1 / 3, 2 / 3], [0.25, 0.75]], rtol=1e-15)
    found = Normal([0.0, 7.0], [1.0, 2.0]).maximise([1.0, 2.0, 3.0], states)
    np.testing.assert_allclose([found.means, found.variances], [[2, 7], [2 / 3, 2]], rtol=1e-15)


def test_a_state_that_collapses_is_reported():
    with pytest.raises(RuntimeError, match="^Baum-Welch: state 1 has collapsed onto one observation$"):
        Normal([0.0, 5.0], [1.0, 1.0]).maximise([0.0, 1.0, 5.0], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(RuntimeError, match="state 0 has collapsed"):
        Normal([0.0], [1.0]).maximise([3.0, 3.0], [[1.0], [1.0]])
    x = [0.0, 0.5, 1.0, 0.2, 9.0, 0.7, 0.1]
    model = HiddenMarkov([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], Normal([0.5, 9.0], [1.0, 0.1]))
    with pytest.raises(RuntimeError, match="state 1 has collapsed onto one observation"):
        ascend(lambda model: step(x, model), model)


# Baum-Welch


def models(normal, name):
    """One of each kind, whose states are all visited."""
    initial, transitions = normal(f"chain {name}", 4, 3).softmax(-1).split([1, 3])
    yield HiddenMarkov(initial[0], transitions, Categorical(normal(f"table {name}", 3, 5).softmax(-1)))
    yield HiddenMarkov(initial[0], transitions, Normal([-1.0, 0.0, 1.0], 1 + normal(f"variances {name}", 3).sigmoid()))


@pytest.mark.parametrize("shape", [(1, 2), (30,), (4, 30), (2, 3, 50), (700,), (300, 7)], ids=str)
def test_a_step_is_made_of_the_posterior(normal, shape):
    for model in models(normal, "made"):
        x = sample(model, math.prod(shape), generator=generator(f"made {shape}"))[0].view(shape)
        found, value = step(x, model)
        logs = model.emissions.log_density(x)
        smoothed = forward_backward(logs, model.initial, model.transitions)
        torch.testing.assert_close(value, smoothed.log_likelihood.sum(), rtol=1e-12, atol=0)
        torch.testing.assert_close(log_likelihood(x, model), smoothed.log_likelihood, rtol=0, atol=0)
        first, moves = smoothed.states[..., 0, :].reshape(-1, 3).mean(0), smoothed.moves.reshape(-1, 3, 3).sum(0)
        torch.testing.assert_close(found.initial, first, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(found.transitions, moves / moves.sum(-1, keepdim=True), rtol=1e-10, atol=1e-12)
        wanted = model.emissions.maximise(x, smoothed.states)
        for one, other in zip(vars(found.emissions).values(), vars(wanted).values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.integers(0, 10**6), st.sampled_from([(1, 40), (5, 12), (90,)]), st.booleans())
def test_no_step_lowers_the_likelihood(states, number, shape, symbols):
    draw = torch.Generator().manual_seed(number)
    drawn = torch.randn(states + 1, states, generator=draw, dtype=torch.float64).softmax(-1)
    if symbols:
        x = torch.randint(4, shape, generator=draw)
        emissions = Categorical(torch.randn(states, 4, generator=draw, dtype=torch.float64).softmax(-1))
    else:
        x = torch.randn(shape, generator=draw, dtype=torch.float64)
        emissions = Normal(torch.randn(states, generator=draw, dtype=torch.float64), torch.ones(states).double())
    found = ascend(lambda model: step(x, model), HiddenMarkov(drawn[0], drawn[1:], emissions), steps=8)
    assert found.values.isfinite().all()
    assert (found.values.diff() >= -1e-9 * found.values[1:].abs()).all()


def test_baum_welch_finds_the_chain_again():
    truth = HiddenMarkov([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], Normal([-1.0, 2.0], [1.0, 0.5]))
    x, _ = sample(truth, 400, 40, generator=generator("again"))
    begin = HiddenMarkov([0.5, 0.5], [[0.6, 0.4], [0.4, 0.6]], Normal([0.0, 1.0], [2.0, 2.0]))
    found = ascend(lambda model: step(x, model), begin, steps=200, tolerance=1e-9)
    assert found.converged
    assert found.values[-1] >= log_likelihood(x, truth).sum()
    np.testing.assert_allclose(found.model.transitions, truth.transitions, atol=0.02)
    np.testing.assert_allclose(found.model.emissions.means, truth.emissions.means, atol=0.1)
    np.testing.assert_allclose(found.model.emissions.variances, truth.emissions.variances, atol=0.1)


@pytest.mark.parametrize("length", [1, 30, 400])
def test_a_chain_that_forgets_at_once_is_a_mixture(normal, length):
    weights, means = normal("weights", 3).softmax(-1), 2 * normal("mixed means", 3)
    variances, x = normal("mixed variances", 3).exp(), 3 * normal(f"mixed {length}", 5, length)
    model = HiddenMarkov(weights, weights.expand(3, 3), Normal(means, variances))
    found, value = step(x, model)
    wanted, level = mixture.step(x.flatten(), mixture.Mixture(weights, means[:, None], variances))
    torch.testing.assert_close(value, level, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.emissions.means, wanted.means[:, 0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.emissions.variances, wanted.covariances, rtol=1e-10, atol=1e-12)
    moves = forward_backward(model.emissions.log_density(x), weights, model.transitions).moves.sum((0, 1))
    torch.testing.assert_close(found.initial / length + moves / (5 * length), wanted.weights, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("length", [12, 200])
def test_what_is_zero_stays_zero_and_what_is_not_visited_stays(length):
    transitions = torch.tensor([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0], [0.125, 0.375, 0.5]]).double()
    x = torch.arange(length) % 3 % 2
    model = HiddenMarkov([1.0, 0.0, 0.0], transitions, Categorical([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]]))
    for _ in range(3):
        model, _ = step(x, model)
        assert torch.equal(model.transitions == 0, transitions == 0)
        assert model.initial.tolist() == [1, 0, 0]
        assert model.transitions[2].tolist() == [0.125, 0.375, 0.5]
        assert model.emissions.probabilities[1:].tolist() == [[1, 0], [0.25, 0.75]]


def test_a_single_observation_teaches_nothing_of_the_moves():
    found, value = step(
        [1], HiddenMarkov([0.5, 0.5], RING[:2, :2] / RING[:2, :2].sum(1, True), Categorical([[0.5, 0.5], [0.0, 1.0]]))
    )
    np.testing.assert_allclose(found.initial, [1 / 3, 2 / 3], rtol=1e-15)
    np.testing.assert_allclose(found.transitions, [[0.9, 0.1], [0, 1]], rtol=1e-15)
    assert value.item() == pytest.approx(math.log(0.75), rel=1e-14)


# Simulation


def test_draws_follow_the_chain_and_the_emissions():
    initial, number = [0.2, 0.5, 0.3], 20_000
    model = HiddenMarkov(initial, RING, Normal([0.0, 4.0, -2.0], [1.0, 0.25, 4.0]))
    x, states = sample(model, 6, number, generator=generator("draws"))
    assert x.shape == states.shape == (number, 6)
    share = states[:, 0].bincount(minlength=3) / number
    np.testing.assert_allclose(share, initial, atol=6 * math.sqrt(0.25 / number))
    law = torch.tensor(initial, dtype=torch.float64) @ torch.linalg.matrix_power(RING, 5)
    np.testing.assert_allclose(states[:, 5].bincount(minlength=3) / number, law, atol=6 * math.sqrt(0.25 / number))
    for i in range(3):
        came = states[:, 1:][states[:, :-1] == i]
        np.testing.assert_allclose(came.bincount(minlength=3) / len(came), RING[i], atol=3 / math.sqrt(len(came)))
        seen, mean, variance = x[states == i], model.emissions.means[i], model.emissions.variances[i]
        assert abs(seen.mean() - mean) < 6 * math.sqrt(variance / len(seen))
        assert abs(seen.var() - variance) < 9 * variance / math.sqrt(len(seen))
    table = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0]]).double()
    x, states = sample(HiddenMarkov(initial, RING, Categorical(table)), 6, number, generator=generator("symbols"))
    for i in range(3):
        seen = x[states == i]
        np.testing.assert_allclose(seen.bincount(minlength=3) / len(seen), table[i], atol=3 / math.sqrt(len(seen)))


# Input


@pytest.mark.parametrize("length", [8, 150])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_precision_and_the_device_of_what_comes_in(normal, length, dtype, device):
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    initial, transitions = (one.to(device, dtype) for one in chain(normal, "precision", 3))
    logs = normal("precision", 4, length, 3).to(device, dtype)
    wanted = forward_backward(logs.double().cpu(), initial.double().cpu(), transitions.double().cpu())
    for found in (forward_backward(logs, initial, transitions), forward_backward(logs, initial.tolist(), transitions)):
        for one, other in zip(vars(found).values(), vars(wanted).values(), strict=True):
            assert (one.dtype, one.device.type) == (dtype, device.type)
            np.testing.assert_allclose(one.cpu(), other, rtol=tolerance, atol=tolerance)
    path, value = viterbi(logs, initial, transitions)
    assert (value.dtype, value.device.type, path.device.type) == (dtype, device.type, device.type)
    for emissions in (Categorical(transitions), Normal(initial, initial)):
        model = HiddenMarkov(initial, transitions, emissions)
        x, states = sample(model, length, 4, generator=generator("precision", device))
        following, level = step(x, model)
        parts = level, following.initial, following.transitions, *vars(following.emissions).values()
        assert {(one.dtype, one.device.type) for one in parts} == {(dtype, device.type)}
        assert x.device.type == states.device.type == device.type
        again = step(x.cpu().numpy(), model)[1]
        torch.testing.assert_close(again, level, rtol=1e-5, atol=0)
        torch.testing.assert_close(log_likelihood(x, model).sum(), level, rtol=1e-5, atol=0)


def test_what_the_recursions_cannot_hold_is_summed_in_logarithms_on_every_device(device):
    logs = torch.zeros(900, 2, dtype=torch.float64, device=device)
    logs[:300, 1], logs[300:, 0] = -10.0, -30.0
    found = forward_backward(logs, [0.5, 0.5], torch.eye(2).to(logs))
    assert found.log_likelihood.item() == pytest.approx(-3000 - math.log(2), rel=1e-12)
    assert found.moves.tolist() == [[0, 0], [0, pytest.approx(899, rel=1e-12)]]
    model = HiddenMarkov(
        [0.5, 0.5], torch.eye(2).to(logs), Categorical(torch.tensor([[1 - 1e-9, 1e-9], [0.5, 0.5]]).to(logs))
    )
    x = torch.arange(200, device=device) % 2
    following, value = step(x, model)
    assert value.item() == pytest.approx(-201 * math.log(2), rel=1e-12)
    np.testing.assert_allclose(following.initial.cpu(), [0, 1], atol=1e-12)


@pytest.mark.parametrize("length", [3, 40])
def test_lists_and_arrays_are_taken(normal, length):
    logs, (initial, transitions) = normal("lists", length, 2), chain(normal, "lists", 2)
    found = forward_backward(logs, initial, transitions)
    for kind in (torch.Tensor.tolist, torch.Tensor.numpy):
        other = forward_backward(kind(logs), kind(initial), kind(transitions))
        assert all(torch.equal(one, two) for one, two in zip(vars(found).values(), vars(other).values(), strict=True))
        assert torch.equal(
            viterbi(kind(logs), kind(initial), kind(transitions))[0], viterbi(logs, initial, transitions)[0]
        )
    x = torch.arange(length) % 3
    table = [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]
    model = HiddenMarkov([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], Categorical(table))
    kinds = x, x.tolist(), x.numpy(), x.to(torch.uint8), x.to(torch.int32)
    assert len({step(one, model)[1].item() for one in kinds}) == 1
    model = HiddenMarkov([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], Normal([0, 1], [1, 2]))
    kinds = x, x.tolist(), x.numpy(), x.double(), x.float()
    assert len({step(one, model)[1].item() for one in kinds}) == 1


def test_what_comes_in_is_not_changed_and_may_carry_a_gradient(normal):
    logs, (initial, transitions) = normal("untouched", 40, 2), chain(normal, "untouched", 2)
    logs[3, 1], logs[5, 0] = -INF, -800.0
    given_ = [logs, initial, transitions]
    copies = [one.clone().requires_grad_() for one in given_]
    found, other = forward_backward(*copies), forward_backward(*given_)
    for one, two in zip(vars(found).values(), vars(other).values(), strict=True):
        assert torch.equal(one, two)
        assert not one.requires_grad
    assert not viterbi(*copies)[1].requires_grad
    assert all(torch.equal(one, two) for one, two in zip(given_, copies, strict=True))
    x = torch.arange(40) % 2
    table = Categorical(transitions.clone().requires_grad_())
    value = step(x, HiddenMarkov(copies[1], copies[2], table))[1]
    assert torch.equal(value, step(x, HiddenMarkov(initial, transitions, Categorical(transitions)))[1])
    assert torch.equal(x, torch.arange(40) % 2)
    assert not value.requires_grad


def test_sums_that_rounding_has_moved_are_taken_as_one(normal):
    logs, (initial, transitions) = normal("rounded", 300, 3), chain(normal, "rounded", 3)
    found = forward_backward(logs, initial * (1 + 3e-7), transitions * torch.tensor([[1 + 5e-7], [1.0], [1 - 5e-7]]))
    exact = forward_backward(logs, initial, transitions)
    torch.testing.assert_close(found.log_likelihood, exact.log_likelihood, rtol=1e-12, atol=0)


CHAIN = ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]])
LOGS = [[0.0, -1.0], [-2.0, 0.0]]
BAD_CHAINS = [
    (([0.5, 0.6], CHAIN[1]), "initial: wanted numbers that sum to 1, got a sum of 1.1"),
    (([1.5, -0.5], CHAIN[1]), "initial: wanted numbers of at least 0, got -0.5"),
    (([0.5, NAN], CHAIN[1]), "initial: wanted finite numbers, got nan"),
    ((CHAIN[0], [[0.5, 0.6], [0.5, 0.5]]), "transitions: wanted rows that sum to 1, got sums "),
    ((CHAIN[0], [[1.5, -0.5], [0.5, 0.5]]), "transitions: wanted numbers of at least 0, got -0.5"),
    ((CHAIN[0], [0.5, 0.5]), r"transitions: wanted 2 dimension\(s\), got shape \(2,\)"),
    ((CHAIN[0], [[0.5, 0.5]]), r"transitions: wanted shape \(2, 2\), got shape \(1, 2\)"),
    ((CHAIN[0], [[INF, 0.5], [0.5, 0.5]]), "transitions: wanted finite numbers, got inf"),
]
BAD_LOGS = [
    ([0.0, 1.0], r"log_emissions: wanted shape \(..., T, K\), got shape \(2,\)"),
    ([[]], r"log_emissions: wanted shape \(..., T, K\), got shape \(1, 0\)"),
    ([[0.0, NAN]], "log_emissions: wanted numbers below infinity, got nan"),
    ([[0.0, INF]], "log_emissions: wanted numbers below infinity, got inf"),
    ([[0.0, -1.0], [-INF, -INF]], "log_emissions: wanted observations that are possible under the model, got a seq"),
    ([["a"]], "log_emissions: wanted numbers, got "),
    ([[0.0], [0.0, 1.0]], r"log_emissions: wanted numbers, got \[\[0.0\], \[0.0, 1.0\]\]"),
    ([[True, False]], "log_emissions: wanted real numbers, got dtype torch.bool"),
    ([[0.0, 1j]], "log_emissions: wanted real numbers, got dtype torch.complex128"),
    ([[0.0, 0.0, 0.0]], r"initial: wanted shape \(3,\) .*, got shape \(2,\)"),
]


@pytest.mark.parametrize("function", [forward_backward, viterbi])
def test_bad_arguments_are_refused(function):
    for given_, message in BAD_CHAINS:
        with pytest.raises(ValueError, match=f"^{message}"):
            function(LOGS, *given_)
    for logs, message in BAD_LOGS:
        with pytest.raises(ValueError, match=f"^{message}"):
            function(logs, *CHAIN)
    with pytest.raises(ValueError, match="^log_emissions: wanted observations that are possible under the model"):
        function([[0.0, -INF], [-INF, 0.0]], [1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(("arguments", "message"), BAD_CHAINS)
def test_a_chain_that_is_none_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        HiddenMarkov(*arguments, Normal([0.0, 1.0], [1.0, 1.0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical([0.5, 0.5]), r"probabilities: wanted 2 dimension\(s\), got shape \(2,\)"),
        (lambda: Categorical([[0.5, 0.6]]), "probabilities: wanted rows that sum to 1, got sums "),
        (lambda: Categorical([[1.5, -0.5]]), "probabilities: wanted numbers of at least 0, got -0.5"),
        (lambda: Categorical([[NAN, 1.0]]), "probabilities: wanted finite numbers, got nan"),
        (lambda: Normal([0.0, 1.0], [1.0]), r"means, variances: wanted shapes \(K,\), got \(2,\) and \(1,\)"),
        (lambda: Normal(0.0, 1.0), r"means, variances: wanted shapes \(K,\), got \(\) and \(\)"),
        (lambda: Normal([0.0], [0.0]), "variances: wanted numbers above zero, got 0.0"),
        (lambda: Normal([INF], [1.0]), "means: wanted finite numbers, got inf"),
        (lambda: HiddenMarkov(0.5, [[1.0]], Normal([0.0], [1.0])), r"initial: wanted 1 dimension\(s\), got shape \(\)"),
    ],
)
def test_bad_models_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


SYMBOLS, NUMBERS = Categorical([[0.5, 0.5], [0.25, 0.75]]), Normal([0.0, 1.0], [1.0, 1.0])
BAD_OBSERVATIONS = [
    (SYMBOLS, [0, 2], "observations: wanted whole numbers from 0 to 1, got from 0 to 2"),
    (SYMBOLS, [-1, 0], "observations: wanted whole numbers from 0 to 1, got from -1 to 0"),
    (SYMBOLS, [0.0, 1.0], "observations: wanted whole numbers from 0 to 1, got dtype torch.float64"),
    (SYMBOLS, [True], "observations: wanted real numbers, got dtype torch.bool"),
    (NUMBERS, [0.0, NAN], "observations: wanted finite numbers, got nan"),
    (NUMBERS, [0.0, INF], "observations: wanted finite numbers, got inf"),
    (NUMBERS, [1j], "observations: wanted real numbers, got dtype torch.complex128"),
    *(
        (emissions, observations, f"observations: {message}")
        for emissions in (SYMBOLS, NUMBERS)
        for observations, message in (
            (1, r"wanted shape \(..., T\), got shape \(\)"),
            ([], r"wanted shape \(..., T\), got shape \(0,\)"),
            ("text", "wanted numbers, got 'text'"),
            ([[1], [1, 0]], "wanted numbers, got "),
            (None, "wanted numbers, got None"),
        )
    ),
]


@pytest.mark.parametrize(("emissions", "observations", "message"), BAD_OBSERVATIONS)
def test_bad_observations_are_refused(emissions, observations, message):
    model = HiddenMarkov(*CHAIN, emissions)
    calls = (
        lambda: emissions.log_density(observations),
        lambda: emissions.maximise(observations, [[0.5, 0.5]]),
        lambda: step(observations, model),
        lambda: log_likelihood(observations, model),
    )
    for call in calls:
        with pytest.raises(ValueError, match=f"^{message}"):
            call()


@pytest.mark.parametrize("emissions", [SYMBOLS, NUMBERS])
def test_states_that_do_not_go_with_the_observations_are_refused(emissions):
    for states, message in (
        ([[0.5, 0.5]], r"wanted shape \(2, 2\), got shape \(1, 2\)"),
        ([[1.0], [1.0]], r"wanted shape \(2, 2\), got shape \(2, 1\)"),
        ([[1.5, -0.5], [0.5, 0.5]], "wanted finite numbers of at least 0, got numbers from -0.5 to 1.5"),
        ([[NAN, 0.5], [0.5, 0.5]], "wanted finite numbers of at least 0, got numbers from nan to nan"),
        ([[INF, 0.5], [0.5, 0.5]], "wanted finite numbers of at least 0, got numbers from 0.5 to inf"),
        ([1.0, 1.0], r"wanted shape \(..., T, K\), got shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=f"^states: {message}"):
            emissions.maximise([0, 1], states)


def test_models_that_cannot_have_made_the_observations_are_refused():
    still = HiddenMarkov([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], Categorical([[1.0, 0.0], [0.0, 1.0]]))
    for call in (lambda: step([0, 1], still), lambda: log_likelihood([0, 1], still), lambda: step([1] * 50, still)):
        with pytest.raises(ValueError, match="^log_emissions: wanted observations that are possible under the model"):
            call()
    silent = HiddenMarkov(*CHAIN, Categorical([[1.0, 0.0], [1.0, 0.0]]))
    for call in (lambda: step([0, 1], silent), lambda: log_likelihood([0, 1], silent)):
        with pytest.raises(ValueError, match="^log_emissions: wanted observations that are possible under the model"):
            call()
    three = HiddenMarkov(*CHAIN, Normal([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]))
    for call in (lambda: step([0.0, 1.0], three), lambda: log_likelihood([0.0], three)):
        with pytest.raises(ValueError, match=r"^initial: wanted shape \(3,\) .*, got shape \(2,\)"):
            call()


def test_other_models_and_lengths_are_refused():
    model = HiddenMarkov(*CHAIN, SYMBOLS)
    draw = generator("refused")
    for call in (lambda: step([0], SYMBOLS), lambda: log_likelihood([0], None), lambda: sample(3, 1, generator=draw)):
        with pytest.raises(ValueError, match="^model: wanted a HiddenMarkov, got "):
            call()
    with pytest.raises(ValueError, match="^length: wanted a whole number of at least 1, got 0"):
        sample(model, 0, generator=draw)
    with pytest.raises(ValueError, match="^number: wanted a whole number of at least 1, got 1.5"):
        sample(model, 2, 1.5, generator=draw)
