from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric import Index

from graphattn.ops import (
    CSR,
    NeighborSample,
    _native,
    build_csr,
    sample_neighbors,
    use_implementation,
)
from graphattn.ops.sample import relations
from graphattn.ops.sample.random import below, children, combine
from graphattn.ops.sample.relations import Relation, RelationSample, sample_relations

HAS_NATIVE = _native.why_missing() is None
needs_native = pytest.mark.skipif(not HAS_NATIVE, reason="the native library was not built")
IMPLEMENTATIONS = ["reference", pytest.param("cpu", marks=needs_native)]
# The outputs of SplitMix64 for the seed 1234567, as other libraries give them.
SPLITMIX64 = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Tests may change the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def random_graph(num_nodes: int, num_edges: int, seed: int = 0, dtype: torch.dtype = torch.int64):
    """Edges whose ends are the more likely the smaller their number."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.rand(2, num_edges, generator=generator) ** 3 * num_nodes
    return build_csr(ends.to(dtype), num_src=num_nodes, num_dst=num_nodes)


def star(degree: int, num_nodes: int) -> CSR:
    """Every node has the first ``degree`` nodes as its neighbours."""
    dst = torch.arange(num_nodes).repeat_interleave(degree)
    src = torch.arange(degree).repeat(num_nodes)
    return build_csr(torch.stack([src, dst]), num_src=num_nodes, num_dst=num_nodes)


def assert_same(got: NeighborSample, expected: NeighborSample) -> None:
    for name, a, b in zip(got._fields, got, expected, strict=True):
        if isinstance(b, Tensor):
            assert a.dtype == b.dtype, name
            assert torch.equal(a, b), name
        else:
            assert a == b, name


def assert_is_sample(
    out: NeighborSample, csr: CSR, seeds: list[int], fan_outs: list[int], replace: bool
) -> None:
    """All that is not random, in plain Python."""
    rowptr, col = csr.rowptr.tolist(), csr.col.tolist()
    nodes, positions = out.nodes.tolist(), out.position.tolist()
    src, dst = out.edge_index.tolist()
    met, edge, row = list(seeds), 0, 0
    sizes, edges_per_hop = [len(seeds)], []
    for fan_out in fan_outs:
        begin, last = edge, len(met)
        for node in range(row, last):
            start, end = rowptr[nodes[node] : nodes[node] + 2]
            count = end - start
            if fan_out >= 0 and replace:
                count = fan_out if count else 0
            elif fan_out >= 0:
                count = min(count, fan_out)
            mine = positions[edge : edge + count]
            assert dst[edge : edge + count] == [node] * count
            assert all(start <= position < end for position in mine)
            if not replace:
                assert len(set(mine)) == count
            if count == end - start and not (replace and fan_out >= 0):
                assert mine == list(range(start, end))
            for place, position in enumerate(mine, start=edge):
                assert nodes[src[place]] == col[position]
                if col[position] not in met:
                    met.append(col[position])
            edge += count
        row = last
        sizes.append(len(met) - last)
        edges_per_hop.append(edge - begin)
    assert edge == len(positions) == len(src)
    assert nodes == met
    assert (out.num_sampled_nodes, out.num_sampled_edges) == (sizes, edges_per_hop)


fan_out_lists = st.lists(st.sampled_from([-1, 0, 1, 2, 3, 7]), min_size=1, max_size=3)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@given(
    st.integers(1, 12), st.integers(0, 60), fan_out_lists, st.booleans(), st.integers(0, 2**63 - 1)
)
@settings(max_examples=40, deadline=None)
def test_is_a_sample(
    implementation: str,
    dtype: torch.dtype,
    num_nodes: int,
    num_edges: int,
    fan_outs: list[int],
    replace: bool,
    seed: int,
) -> None:
    csr = random_graph(num_nodes, num_edges, seed, dtype)
    seeds = random.Random(seed).sample(range(num_nodes), k=(num_nodes + 1) // 2)
    with use_implementation(implementation):
        out = sample_neighbors(
            csr.rowptr,
            csr.col,
            torch.tensor(seeds, dtype=dtype),
            fan_outs,
            replace=replace,
            seed=seed,
        )
    assert out.nodes.dtype == out.edge_index.dtype == out.position.dtype == dtype
    assert_is_sample(out, csr, seeds, fan_outs, replace)


@needs_native
@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("fan_outs", [[15, 10, 5], [4, -1], [-1, 3], [200], [0, 2]])
def test_native_equals_reference(
    num_threads: int, replace: bool, dtype: torch.dtype, fan_outs: list[int]
) -> None:
    csr = random_graph(3000, 60000, dtype=dtype)
    # Enough for each of five threads in some hops, for fewer in others.
    seeds = torch.randperm(3000, generator=torch.Generator().manual_seed(1))[:600]
    arguments = {"replace": replace, "seed": 2**62 + 17}
    with use_implementation("reference"):
        expected = sample_neighbors(csr.rowptr, csr.col, seeds, fan_outs, **arguments)
    torch.set_num_threads(num_threads)
    with use_implementation("cpu"):
        got = sample_neighbors(csr.rowptr, csr.col, seeds, fan_outs, **arguments)
    assert_same(got, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_many_of_a_hub(implementation: str) -> None:
    edges = torch.stack([torch.arange(15000), torch.zeros(15000, dtype=torch.long)])
    csr = build_csr(edges, num_src=15000, num_dst=15000)
    with use_implementation(implementation):
        out = sample_neighbors(csr.rowptr, csr.col, torch.tensor([0]), [1000])
    assert_is_sample(out, csr, [0], [1000], replace=False)
    # Spread over the whole row: the mean of the places is 7500 +- 137.
    assert 6900 < out.position.double().mean() < 8100


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_every_set_of_neighbours_is_equally_likely(implementation: str) -> None:
    degree, k, rows = 8, 3, 20000
    csr = star(degree, rows)
    with use_implementation(implementation):
        out = sample_neighbors(csr.rowptr, csr.col, torch.arange(rows), [k], seed=5)
    drawn = (out.position.view(rows, k) % degree).sort(dim=1).values
    assert torch.equal(out.edge_index[1], torch.arange(rows).repeat_interleave(k))
    included = torch.nn.functional.one_hot(drawn, degree).sum(dim=1).double().mean(dim=0)
    # Five standard deviations of a share over that many rows.
    assert (included - k / degree).abs().max() < 0.018
    sets, counts = torch.unique(drawn, dim=0, return_counts=True)
    assert len(sets) == 56
    expected = rows / 56
    # Mean 55 and standard deviation 10.5 if all sets are equally likely.
    assert ((counts - expected) ** 2 / expected).sum() < 110


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_with_replacement_every_draw_is_uniform(implementation: str) -> None:
    degree, k, rows = 7, 4, 20000
    csr = star(degree, rows)
    with use_implementation(implementation):
        out = sample_neighbors(csr.rowptr, csr.col, torch.arange(rows), [k], replace=True, seed=6)
    drawn = out.position.view(rows, k) % degree
    for first, second in ((0, 1), (1, 3)):
        pairs = torch.bincount(drawn[:, first] * degree + drawn[:, second], minlength=49)
        expected = rows / 49
        # Mean 48, standard deviation 9.8.
        assert ((pairs - expected) ** 2 / expected).sum() < 100


def test_seed_hop_and_node_change_the_draw() -> None:
    csr = star(50, 200)
    seeds = torch.arange(100, 200)

    def drawn(seed: int) -> Tensor:
        return sample_neighbors(csr.rowptr, csr.col, seeds, [5], seed=seed).position.view(100, 5)

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    assert len(torch.unique(drawn(0) % 50, dim=0)) == 100
    # Node 60 in another hop: it is the only neighbour of 61.
    into_60 = torch.stack([torch.arange(50), torch.full((50,), 60)])
    edges = torch.cat([into_60, torch.tensor([[60], [61]])], dim=1)
    path = build_csr(edges, num_src=62, num_dst=62)
    first = sample_neighbors(path.rowptr, path.col, torch.tensor([60]), [5])
    second = sample_neighbors(path.rowptr, path.col, torch.tensor([61]), [5, 5])
    assert set(first.nodes[1:].tolist()) != set(second.nodes[2:].tolist())


def test_a_draw_depends_on_no_other_node() -> None:
    csr = star(50, 200)
    alone = sample_neighbors(csr.rowptr, csr.col, torch.tensor([150]), [5])
    among = sample_neighbors(csr.rowptr, csr.col, torch.tensor([120, 150, 160]), [5])
    assert torch.equal(among.position.view(3, 5)[1], alone.position)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("replace", [False, True])
def test_a_seed_that_comes_twice(implementation: str, replace: bool) -> None:
    csr = star(50, 200)
    with use_implementation(implementation):
        seeds = torch.tensor([60, 7, 60, 60, 7])
        out = sample_neighbors(csr.rowptr, csr.col, seeds, [5, 4], replace=replace)
        alone = sample_neighbors(csr.rowptr, csr.col, torch.tensor([60]), [5], replace=replace)
    assert torch.equal(out.nodes[:5], seeds)
    assert out.num_sampled_nodes[0] == 5
    assert out.num_sampled_edges[0] == 25
    drawn = out.position[:25].view(5, 5) % 50
    assert torch.equal(drawn[0], alone.position % 50)
    assert len(drawn.sort(dim=1).values.unique(dim=0)) == 5
    src, dst = out.edge_index
    assert torch.equal(dst[:25], torch.arange(5).repeat_interleave(5))
    assert torch.equal(out.nodes[src], csr.col[out.position])
    # Edges from a node that is there more than once begin at the first.
    assert not torch.isin(src, torch.tensor([2, 3, 4])).any()
    assert len(out.nodes[5:].unique()) == len(out.nodes) - 5


@needs_native
@pytest.mark.parametrize("num_threads", [1, 3])
def test_native_equals_reference_where_seeds_repeat(num_threads: int) -> None:
    csr = random_graph(500, 40000)
    seeds = torch.randint(500, (800,), generator=torch.Generator().manual_seed(1))
    torch.set_num_threads(num_threads)
    samples = []
    for implementation in ("reference", "cpu"):
        with use_implementation(implementation):
            samples.append(sample_neighbors(csr.rowptr, csr.col, seeds, [9, 4], seed=3))
    assert_same(*samples)


def test_random_numbers_are_those_of_splitmix64() -> None:
    bits = children(1234567, torch.arange(5))
    assert [z % 2**64 for z in bits.tolist()] == SPLITMIX64
    # `combine` mixes the seed once, then takes the counter's number of the sequence.
    nested = children(children(combine(99), torch.tensor(3)), torch.tensor(8))
    assert nested.item() % 2**64 == combine(99, 3, 8)


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**31 - 1))
def test_below_is_the_product_of_the_high_bits(number: int, count: int) -> None:
    bits = torch.tensor([number - 2**64 if number >= 2**63 else number])
    assert below(bits, torch.tensor(count)).item() == (number >> 1) * count >> 63


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_nothing_to_sample(implementation: str) -> None:
    none = torch.empty(0, dtype=torch.long)
    with use_implementation(implementation):
        no_seeds = sample_neighbors(torch.tensor([0, 1]), torch.tensor([0]), none, [2, 2])
        no_nodes = sample_neighbors(torch.tensor([0]), none, none, [2])
        no_edges = sample_neighbors(ROWPTR[:1].expand(2), none, SEEDS, [3], replace=True)
    for out in (no_seeds, no_nodes):
        assert out.nodes.numel() == 0
    assert no_seeds.edge_index.shape == (2, 0)
    assert (no_seeds.num_sampled_nodes, no_seeds.num_sampled_edges) == ([0, 0, 0], [0, 0])
    assert (no_edges.nodes.tolist(), no_edges.num_sampled_nodes) == ([0], [1, 0])


def test_strided_arguments() -> None:
    csr = random_graph(100, 2000)
    seeds = torch.tensor([3, 90, 5])
    expected = sample_neighbors(csr.rowptr, csr.col, seeds, [4, 4])
    spread = [torch.stack([t, t], dim=1)[:, 0] for t in (csr.rowptr, csr.col, seeds)]
    assert_same(sample_neighbors(*spread, [4, 4]), expected)
    assert_same(sample_neighbors(csr.rowptr, csr.col, seeds.int(), [4, 4]), expected)


ROWPTR, COL, SEEDS = torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1]), torch.tensor([0])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"rowptr": [0, 2, 3]}, TypeError, "'rowptr' must be a tensor, got list"),
        ({"rowptr": ROWPTR.float()}, TypeError, r"'rowptr' .* int64 tensor, got torch\.float32"),
        ({"rowptr": ROWPTR.view(1, 3)}, ValueError, r"'rowptr' must have shape \[any\]"),
        ({"rowptr": ROWPTR[:0]}, ValueError, "'rowptr' must have one entry more"),
        ({"rowptr": torch.tensor([1, 2, 3])}, ValueError, "from 0 to 3.* got 1 to 3"),
        ({"rowptr": torch.tensor([0, 2, 4])}, ValueError, "from 0 to 3.* got 0 to 4"),
        ({"rowptr": torch.tensor([0, 4, 3])}, ValueError, "'rowptr' .* got 0 and 4 at node 0"),
        ({"rowptr": torch.tensor([0, -1, 3])}, ValueError, "'rowptr' .* got 0 and -1 at node 0"),
        ({"col": COL.int()}, TypeError, r"'col' must be torch\.int64 .* got torch\.int32"),
        ({"col": COL.float()}, TypeError, r"'col' .* got torch\.float32"),
        ({"col": torch.tensor([0, 2, 1])}, ValueError, r"'col' .* \[0, 2\).* got 2 at position 1"),
        ({"col": torch.tensor([-1, 2, 1])}, ValueError, r"'col' .* got -1 at position 0"),
        ({"seeds": torch.tensor([2])}, ValueError, r"'seeds' must lie in \[0, 2\), got 2"),
        ({"seeds": torch.tensor([0, -1])}, ValueError, r"'seeds' must lie in \[0, 2\), got -1"),
        ({"seeds": torch.tensor([True])}, TypeError, r"'seeds' .* got torch\.bool"),
        ({"seeds": torch.tensor(0)}, ValueError, r"'seeds' must have shape \[any\], got \[\]"),
        ({"num_neighbors": []}, ValueError, "'num_neighbors' .* every hop, got none"),
        ({"num_neighbors": 5}, TypeError, "'num_neighbors' must be a list .* got 5"),
        ({"num_neighbors": [2.0]}, TypeError, "'num_neighbors' must hold whole numbers, got 2.0"),
        ({"num_neighbors": [True]}, TypeError, "'num_neighbors' .* got True"),
        ({"num_neighbors": [1, -2]}, ValueError, "'num_neighbors' .* or -1 .* got -2"),
        ({"num_neighbors": [2**31]}, ValueError, "'num_neighbors' .* got 2147483648"),
        ({"replace": 1}, TypeError, "'replace' must be True or False, got 1"),
        ({"seed": 1.0}, TypeError, "'seed' must be a whole number, got 1.0"),
        ({"seed": -1}, ValueError, r"'seed' must lie in \[0, 2\*\*63\), got -1"),
        ({"seed": 2**63}, ValueError, "'seed' .* got 9223372036854775808"),
    ],
)
def test_bad_input(
    implementation: str, changed: dict[str, object], error: type[Exception], text: str
) -> None:
    arguments = {"rowptr": ROWPTR, "col": COL, "seeds": SEEDS, "num_neighbors": [-1, -1]} | changed
    with use_implementation(implementation):
        with pytest.raises(error, match=text):
            sample_neighbors(**arguments)
        # What a failed call has begun does not show in the next one.
        after = sample_neighbors(ROWPTR, COL, torch.tensor([1]), [-1])
    assert (after.nodes.tolist(), after.edge_index.tolist()) == ([1], [[0], [0]])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_row_too_long_to_draw_from(implementation: str, tmp_path: Path) -> None:
    path, size = tmp_path / "col", 2**31 + 5
    with path.open("wb") as file:
        file.truncate(8 * size)  # a hole: takes no space
    col = torch.from_file(str(path), shared=True, size=size, dtype=torch.int64)
    text = rf"2147483647 neighbours .* got {size} at node 0"
    with use_implementation(implementation), pytest.raises(ValueError, match=text):
        sample_neighbors(torch.tensor([0, size]), col, torch.tensor([0]), [1])


@needs_native
def test_more_than_fits_into_memory() -> None:
    nodes = 2**17
    ring = torch.arange(nodes + 1)
    seeds = ring[:-1]
    with pytest.raises(MemoryError, match="sampled subgraph"):
        sample_neighbors(ring, seeds, seeds, [2**31 - 1], replace=True)
    assert sample_neighbors(ring, seeds, seeds, [1]).nodes.numel() == nodes


@needs_native
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_large_buffers_are_given_back() -> None:
    def resident() -> float:
        """Megabytes."""
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    ring = torch.arange(1001)
    sample_neighbors(ring, ring[:-1], ring[:-1], [1])
    before = resident()
    out = sample_neighbors(ring, ring[:-1], ring[:-1], [8000], replace=True)
    assert resident() > before + 150
    del out
    assert resident() < before + 60


def malformed(rng: random.Random) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Arguments of which many, not all, are no graph and seeds."""
    nodes, edges = rng.randint(1, 5), rng.randint(0, 6)

    def bound() -> int:
        return rng.choice([rng.randint(0, edges), rng.randint(0, edges), rng.randint(-9, 9)])

    def source() -> int:
        return rng.choice([rng.randint(0, nodes - 1), rng.randint(0, nodes - 1), 2**31 - 1, -1])

    rowptr = [0, *sorted(bound() for _ in range(nodes - 1)), edges]
    col = [source() for _ in range(edges)]
    seeds = rng.sample(range(6), k=rng.randint(0, 2))
    fan_outs = [rng.choice([-1, 0, 1, 3]) for _ in range(rng.randint(1, 3))]
    return (*(torch.tensor(part, dtype=torch.int32) for part in (rowptr, col, seeds)), fan_outs)


def outcome(implementation: str, *arguments: object) -> object:
    """The sample as lists, or the text of the error."""
    try:
        with use_implementation(implementation):
            out = sample_neighbors(*arguments)
    except ValueError as error:
        return str(error)
    return [part.tolist() if isinstance(part, Tensor) else part for part in out]


@needs_native
def test_malformed_graphs_raise_and_nothing_else() -> None:
    rng = random.Random(0)
    kinds: Counter[str] = Counter()
    for _ in range(3000):
        arguments = malformed(rng)
        expected = outcome("reference", *arguments)
        assert outcome("cpu", *arguments) == expected
        kinds[expected.split()[0] if isinstance(expected, str) else "sample"] += 1
    assert kinds.keys() == {"sample", "'rowptr'", "'col'", "'seeds'"}
    assert min(kinds.values()) > 100, kinds


@pytest.mark.usefixtures("implementation")
def test_takes_pyg_s_index() -> None:
    rowptr, col, seeds = torch.tensor([0, 2, 3, 3]), torch.tensor([1, 2, 2]), torch.tensor([1, 0])
    expected = sample_neighbors(rowptr, col, seeds, [-1])
    got = sample_neighbors(Index(rowptr), Index(col), Index(seeds), [-1])
    assert torch.equal(got.nodes, expected.nodes)
    assert torch.equal(got.edge_index, expected.edge_index)
    negated = torch._neg_view(-seeds)
    assert torch.equal(sample_neighbors(rowptr, col, negated, [-1]).nodes, expected.nodes)


EDGE = ("node", "to", "node")


def sample_one(csr: CSR, seeds: Tensor, fan_outs: list[int], **arguments: object) -> RelationSample:
    """A sample of a graph of one relation; ``weight`` and ``time`` belong to its positions."""
    extra = {name: arguments.pop(name) for name in ("weight", "time") if name in arguments}
    relation = Relation(csr.rowptr, csr.col, **extra)
    sizes = {"node": csr.rowptr.numel() - 1}
    return sample_relations({EDGE: relation}, sizes, {"node": seeds}, {EDGE: fan_outs}, **arguments)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fan_outs", [[15, 10, 5], [4, -1], [0, 2]])
def test_one_relation_is_a_graph(replace: bool, fan_outs: list[int]) -> None:
    csr = random_graph(300, 6000)
    for seeds in (torch.arange(0, 300, 11), torch.tensor([7, 9, 7, 7])):
        out = sample_one(csr, seeds, fan_outs, replace=replace, seed=4)
        expected = sample_neighbors(csr.rowptr, csr.col, seeds, fan_outs, replace=replace, seed=4)
        got = NeighborSample(
            out.nodes["node"],
            out.edge_index[EDGE],
            out.position[EDGE],
            out.num_sampled_nodes["node"],
            out.num_sampled_edges[EDGE],
        )
        assert_same(got, expected)
        assert not out.trees["node"].any()


def test_trees_are_disjoint_samples() -> None:
    csr = random_graph(100, 3000)
    seeds = torch.tensor([3, 90, 3, 5])
    out = sample_one(csr, seeds, [4, 3], disjoint=True)
    nodes, trees, (src, dst) = out.nodes["node"], out.trees["node"], out.edge_index[EDGE]
    assert torch.equal(nodes[:4], seeds)
    assert torch.equal(trees[:4], torch.arange(4))
    assert torch.equal(trees[src], trees[dst])
    assert torch.equal(nodes[src], csr.col[out.position[EDGE]].long())
    both = torch.stack([trees, nodes])
    assert len(both.unique(dim=1).T) == len(nodes)
    drawn = [frozenset(out.position[EDGE][dst == row].tolist()) for row in range(4)]
    assert len(set(drawn)) == 4  # the two of node 3 as well
    assert all(len(part) == 4 for part in drawn)


def weighted_star(degree: int, rows: int) -> tuple[CSR, Tensor]:
    """Every node has the same neighbours with weights 0, 1, 2, ..."""
    csr = star(degree, rows)
    return csr, torch.arange(degree, dtype=torch.double).repeat(rows)


def test_with_replacement_draws_follow_the_weights() -> None:
    degree, k, rows = 6, 4, 20000
    csr, weight = weighted_star(degree, rows)
    # Rows whose weights differ by orders of magnitude do not disturb each other.
    scale = torch.logspace(-12, 12, rows, dtype=torch.double).repeat_interleave(degree)
    out = sample_one(csr, torch.arange(rows), [k], replace=True, weight=weight * scale)
    assert torch.equal(out.edge_index[EDGE][1], torch.arange(rows).repeat_interleave(k))
    drawn = out.position[EDGE].view(rows, k)
    assert torch.equal(drawn // degree, torch.arange(rows).unsqueeze(1).expand(-1, k))
    count = torch.bincount((drawn % degree).flatten(), minlength=degree).double()
    expected = rows * k * torch.arange(degree) / 15
    assert count[0] == 0
    # Mean 4, standard deviation 2.8.
    assert ((count - expected)[1:] ** 2 / expected[1:]).sum() < 20
    pairs = torch.bincount((drawn % degree) @ torch.tensor([degree, 1, 0, 0]), minlength=36)
    expected = rows * torch.outer(torch.arange(6) / 15, torch.arange(6) / 15).flatten()
    some = expected > 0
    # Mean 24, standard deviation 6.9.
    assert ((pairs - expected)[some] ** 2 / expected[some]).sum() < 60


def test_a_draw_at_the_end_of_a_row_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def highest(bits: Tensor) -> Tensor:
        return torch.full(bits.shape, 1 - 2.0**-53, dtype=torch.double)

    monkeypatch.setattr(relations, "_uniform", highest)
    csr, weight = weighted_star(6, 20000)
    out = sample_one(csr, torch.arange(20000), [2], replace=True, weight=weight)
    assert torch.equal(out.position[EDGE] // 6, torch.arange(20000).repeat_interleave(2))
    assert (out.position[EDGE] % 6 == 5).all()


def test_without_replacement_edges_follow_one_another_by_weight() -> None:
    degree, k, rows = 5, 2, 20000
    csr, weight = weighted_star(degree, rows)
    out = sample_one(csr, torch.arange(rows), [k], weight=weight)
    drawn = (out.position[EDGE].view(rows, k) % degree).sort(dim=1).values
    sets, counts = drawn.unique(dim=0, return_counts=True)
    share = [0.0, 0.1, 0.2, 0.3, 0.4]
    expected = torch.tensor(
        [share[a] * share[b] * (1 / (1 - share[a]) + 1 / (1 - share[b])) for a, b in sets.tolist()]
    )
    assert len(sets) == 6  # none with the edge of weight 0
    # Mean 5, standard deviation 3.2.
    assert ((counts - rows * expected) ** 2 / (rows * expected)).sum() < 25


def test_few_edges_with_weight() -> None:
    csr, weight = weighted_star(4, 5)
    position = {
        (fan_out, replace): sample_one(
            csr, torch.tensor([2]), [fan_out], weight=weight, replace=replace
        ).position[EDGE]
        for fan_out in (-1, 9)
        for replace in (False, True)
    }
    for replace in (False, True):
        assert position[-1, replace].tolist() == [8, 9, 10, 11]
    assert position[9, False].tolist() == [9, 10, 11]
    assert len(position[9, True]) == 9
    none = sample_one(csr, torch.tensor([2]), [2], weight=torch.zeros(20).double(), replace=True)
    assert none.position[EDGE].numel() == 0


@pytest.mark.parametrize("by_edge", [False, True])
def test_nothing_later_than_its_seed(by_edge: bool) -> None:
    csr = random_graph(200, 8000)
    time = torch.randint(100, (8000 if by_edge else 200,), generator=torch.manual_seed(0))
    seeds, limit = torch.arange(0, 200, 7), torch.arange(29) * 3
    given = {"time": time} if by_edge else {"node_time": {"node": time}}
    for last in (False, True):
        out = sample_one(
            csr,
            seeds,
            [5, 5],
            disjoint=True,
            seed_time={"node": limit},
            last=last,
            **given,
        )
        position, (_, dst) = out.position[EDGE], out.edge_index[EDGE]
        times = time if by_edge else time[csr.col.long()]
        assert (times[position] <= limit[out.trees["node"][dst]]).all()
        for row in range(len(seeds)):
            start, end = csr.rowptr[seeds[row] : seeds[row] + 2].tolist()
            early = [p for p in range(start, end) if times[p] <= limit[row]]
            drawn = position[dst == row].tolist()
            assert len(drawn) == min(5, len(early))
            assert set(drawn) <= set(early)
            if last:
                assert set(drawn) == set(sorted(early, key=lambda p: (times[p], p))[-5:])


def test_early_neighbours_are_equally_likely() -> None:
    degree, k, rows = 8, 2, 20000
    csr = star(degree, rows)
    time = torch.arange(rows)
    out = sample_one(
        csr,
        torch.arange(rows),
        [k],
        disjoint=True,
        seed_time={"node": torch.full((rows,), 4)},
        node_time={"node": time},
    )
    drawn = (out.position[EDGE].view(rows, k) % degree).sort(dim=1).values
    sets, counts = drawn.unique(dim=0, return_counts=True)
    assert len(sets) == 10
    # Mean 9, standard deviation 4.2.
    assert ((counts - rows / 10) ** 2 / (rows / 10)).sum() < 35


def test_several_relations() -> None:
    writes, cites = ("author", "writes", "paper"), ("paper", "cites", "paper")
    relations = {
        writes: Relation(torch.tensor([0, 2, 3, 3]), torch.tensor([1, 0, 1])),
        cites: Relation(torch.tensor([0, 1, 2, 3]), torch.tensor([2, 0, 1])),
    }
    out = sample_relations(
        relations,
        {"author": 2, "paper": 3},
        {"paper": torch.tensor([1])},
        {writes: [0, -1], cites: [1, 1]},
    )
    assert out.nodes["paper"].tolist() == [1, 0, 2]
    assert out.nodes["author"].tolist() == [1, 0]
    assert out.edge_index[cites].tolist() == [[1, 2], [0, 1]]
    assert out.edge_index[writes].tolist() == [[0, 1], [1, 1]]
    assert out.position == {writes: out.position[writes], cites: out.position[cites]}
    assert out.num_sampled_nodes == {"paper": [1, 1, 1], "author": [0, 0, 2]}
    assert out.num_sampled_edges == {writes: [0, 2], cites: [1, 1]}


@pytest.mark.parametrize("disjoint", [False, True])
def test_all_edges_between_the_sampled_nodes(disjoint: bool) -> None:
    csr = random_graph(60, 1500)
    out = sample_one(csr, torch.tensor([3, 40, 22]), [4], disjoint=disjoint, induced=True)
    nodes, trees = out.nodes["node"].tolist(), out.trees["node"].tolist()
    there = set(zip(trees, nodes, strict=True))
    rowptr, col = csr.rowptr.tolist(), csr.col.tolist()
    expected = [
        position
        for tree, node in zip(trees, nodes, strict=True)
        for position in range(rowptr[node], rowptr[node + 1])
        if (tree, col[position]) in there
    ]
    assert out.position[EDGE].tolist() == expected
    src, dst = out.edge_index[EDGE]
    assert torch.equal(out.trees["node"][src], out.trees["node"][dst])
    assert torch.equal(out.nodes["node"][src], csr.col[out.position[EDGE]].long())


def test_relations_without_anything() -> None:
    csr = build_csr(torch.empty(2, 0, dtype=torch.long), num_src=3, num_dst=3)
    none = torch.empty(0, dtype=torch.long)
    for seeds in (none, torch.tensor([1])):
        for extra in ({}, {"disjoint": True}, {"induced": True}, {"weight": none.double()}):
            out = sample_one(csr, seeds, [2, 2], **extra)
            assert torch.equal(out.nodes["node"], seeds)
            assert out.edge_index[EDGE].shape == (2, 0)
