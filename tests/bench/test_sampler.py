from __future__ import annotations

from graphattn.bench import Settings
from graphattn.bench.sampler import lineup


def test_contenders_sample() -> None:
    sampling = lineup(Settings(scale=0.005))
    ours = sampling.contenders[0]
    samples = ours.forward()
    assert ours.kind == "ours"
    assert ours.edges == sum(sample.edge_index.size(1) for sample in samples)
    assert ours.edges > 20 * 847  # more than one edge for each of the 847 nodes per batch
    names = {contender.name.split()[0] for contender in sampling.contenders}
    names |= {missing.name.split()[0] for missing in sampling.missing}
    assert names == {"graphattn", "DGL", "PyG"}
