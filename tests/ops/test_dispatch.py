from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from graphattn.ops import GATScore, _dispatch, _native, _triton, attend
from graphattn.ops._dispatch import choices, choose, use_implementation

needs_native = pytest.mark.skipif(
    _native.why_missing() is not None, reason="the native library was not built"
)


@needs_native
def test_the_fastest_is_taken() -> None:
    assert choose("build_csr", "cpu").implementation == "cpu"
    assert choose("build_csr", "cuda").implementation == "reference"


def test_an_op_without_a_fast_path_uses_its_reference() -> None:
    choice = choose("edge_softmax", "xpu")
    assert (choice.implementation, choice.reason) == (
        "reference",
        "no other implementation on xpu yet",
    )


@needs_native
def test_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_dispatch.ENVIRONMENT_SWITCH, "reference")
    assert choose("build_csr", "cpu").implementation == "reference"
    with use_implementation("cpu"):
        assert choose("build_csr", "cpu").implementation == "cpu"
        with use_implementation("reference", "attend"):
            assert choose("attend", "cpu").implementation == "reference"
            assert choose("build_csr", "cpu").implementation == "cpu"
    assert choose("build_csr", "cpu").reason == "'reference' was asked for"


def test_an_unknown_wish_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown implementation 'gpus'; did you mean 'gpu'"):
        use_implementation("gpus").__enter__()
    with pytest.raises(ValueError, match="unknown op 'atend'; did you mean 'attend'"):
        use_implementation("cpu", "atend").__enter__()
    monkeypatch.setenv(_dispatch.ENVIRONMENT_SWITCH, "triton")
    with pytest.raises(ValueError, match="unknown implementation 'triton'"):
        choose("build_csr", "cpu")


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "why_missing", lambda: "not built")
    assert choose("build_csr", "cpu").reason == "native library not built"
    with use_implementation("cpu"), pytest.raises(RuntimeError, match="'cpu' was asked for"):
        choose("build_csr", "cpu")


def test_triton_serves_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_triton, "why_missing", lambda: None)
    assert choose("attend", "cuda").implementation == "gpu"
    assert choose("aero_propagate", "cuda").reason == "no other implementation on cuda yet"
    monkeypatch.setattr(_triton, "why_missing", lambda: "triton is not installed")
    choice = choose("attend", "cuda")
    assert (choice.implementation, choice.reason) == ("reference", "triton is not installed")
    with use_implementation("gpu"):
        for device in ("cpu", "cuda"):
            with pytest.raises(
                RuntimeError, match="'gpu' was asked for and can't be had: triton is"
            ):
                choose("attend", device)
        assert choose("build_csr", "cpu").implementation == "reference"


def test_triton_serves_the_cpu_if_it_interprets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_triton, "why_missing", lambda: None)
    for interprets, implementation in ((True, "gpu"), (False, "reference")):
        monkeypatch.setattr(_triton, "interprets", lambda answer=interprets: answer)
        with use_implementation("gpu"):
            assert choose("attend", "cpu").implementation == implementation
        assert choose("attend", "cpu").implementation != "gpu"


def test_all_ops_are_listed() -> None:
    assert [choice.op for choice in choices("cpu")] == sorted(_dispatch.FAST_PATHS)


def test_torch_scatter_serves_whom_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_implementation("scatter"):
        assert choose("build_csr", "cpu").implementation == "reference"
        monkeypatch.setattr(_dispatch, "find_spec", lambda name: object())
        assert choose("spmm", "cpu").implementation == "scatter"
        assert choose("spmm", "cuda").reason == "'scatter' was asked for"
        monkeypatch.setattr(_dispatch, "find_spec", lambda name: None)
        with pytest.raises(RuntimeError, match="torch-scatter is not installed"):
            choose("spmm", "cpu")


@pytest.mark.skipif(_native.why_missing() is not None, reason="no native library")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_a_checkpoint_runs_again_as_it_did_first(name: str, reentrant: bool) -> None:
    x, edges = torch.randn(4, 2, 3, requires_grad=True), torch.tensor([[0, 1, 2], [1, 2, 3]])
    score = GATScore(torch.randn(4, 2), torch.randn(4, 2))
    expected = torch.autograd.grad(attend(x, score, edges).square().sum(), x)[0]
    with use_implementation(name):
        out = checkpoint(lambda x: attend(x, score, edges), x, use_reentrant=reentrant)
        plain = attend(x, score, edges)
    other = "cpu" if name == "reference" else "reference"
    with use_implementation(other):
        out.square().sum().backward()
    torch.testing.assert_close(x.grad, expected)
    torch.testing.assert_close(out, plain)
