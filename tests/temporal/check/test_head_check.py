"""`check-head` says in plain words what is wrong with a head, one line a check."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cli import main

FIRST = "import random, torch\nfrom torch import nn\n\n\nclass H(nn.Module):\n"
GOOD = """    def __init__(self, dim, n_classes):
        super().__init__()
        self.layer = nn.Linear(dim, 1 + n_classes)

    def forward(self, x):
        return self.layer(x)
"""
EXAMPLES = Path(__file__).parents[3] / "examples"


def check(text: str, *more: str):
    words = ["check-head", text, "--dim", "6", "--device", "cpu", "--set", "clip_frames=20", *more]
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    "more", [(), ("--set", "teams=labels"), ("--set", f"class_loss={EXAMPLES / 'losses.py'}:smooth")]
)
def test_the_example_is_fit(more):
    result = check(f"{EXAMPLES / 'heads.py'}:Conv(n_blocks=1)", *more)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines[:7]] == [
        f"ok     {name}"
        for name in ("made", "shapes", "batches", "gradients", "repeats", "save and load", "number types")
    ]


@pytest.mark.parametrize(
    ("old", "new", "name", "said"),
    [
        ("return self.layer(x)", "return self.layer(x)[:, ::2]", "made", "gives class_logits (1, 5, 13)"),
        ("return self.layer(x)", "return self.layer(x[:, :7])", "made", "not (1, 10, 13)"),
        ("1 + n_classes", "n_classes", "made", "gives class_logits (1, 10, 12)"),
        ("(self, dim, n_classes)", "(self, dim, n_classes, heads)", "made", "asks for 'heads'"),
        ("return self.layer(x)", "return self.lair(x)", "made", "line 11: H given features (1, 10, 6): AttributeError"),
        ("return self.layer(x)", "return {'logits': self.layer(x)}", "made", "gives 'logits', which is none of"),
        (
            "return self.layer(x)",
            "return self.layer(x).detach()",
            "gradients",
            "hang on none of its parameters",
        ),
        ("return self.layer(x)", "return self.layer(x).sqrt().nan_to_num()", "gradients", "is not finite"),
        ("return self.layer(x)", "return self.layer(x) + torch.rand(())", "repeats", "other scores the second time"),
        ("return self.layer(x)", "return self.layer(x - x.mean(0))", "batches", "hang on the clips beside it"),
        ("return self.layer(x)", "return self.layer(x * 0)", "batches", "does not hang on the features"),
        ("return self.layer(x)", "return self.layer(x) + self.b", "save and load", "register_buffer"),
        ("return self.layer(x)", "return self.layer(x) / x.abs().sum()", "number types", "features of zeros"),
        ("return self.layer(x)", "return self.layer(x) + self.c", "repeats", "two heads of one seed differ in c"),
        ("return self.layer(x)", "y = self.layer(x).exp()\n        y += 1\n        return y", "gradients", "in place"),
        ("nn.Linear(dim, 1", "nn.LazyLinear(1", "made", "has no shape before it is used"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, name, said):
    source = FIRST + GOOD.replace(old, new)
    source = (
        source.replace(
            "super().__init__()\n",
            "super().__init__()\n        self.b = torch.rand(())\n"
            "        self.register_buffer('c', torch.tensor(random.random()))\n",
        )
        if "self.b" in new or "self.c" in new
        else source
    )
    (tmp_path / "bad.py").write_text(source)
    result = check(f"{tmp_path / 'bad.py'}:H")
    wrong = [line for line in result.output.splitlines() if line.startswith("WRONG")]
    assert result.exit_code == 1 and any(line.startswith(f"WRONG  {name}: ") and said in line for line in wrong), (
        result.output
    )


def test_a_fault_at_one_length_is_named_with_it(tmp_path):
    (tmp_path / "bad.py").write_text(FIRST + GOOD.replace("return", "assert x.shape[1] != 7, 'seven'\n        return"))
    result = check(f"{tmp_path / 'bad.py'}:H")
    assert result.exit_code == 1 and "AssertionError: seven" in result.output and "WRONG  shapes" in result.output


def test_tied_weights_and_a_head_without_parameters(tmp_path):
    tied = "self.layer = nn.Linear(dim, 1 + n_classes)\n        self.again = self.layer"
    (tmp_path / "tied.py").write_text(FIRST + GOOD.replace("self.layer = nn.Linear(dim, 1 + n_classes)", tied))
    assert check(f"{tmp_path / 'tied.py'}:H").exit_code == 0
    none = GOOD.replace("self.layer = nn.Linear(dim, 1 + n_classes)", "self.n = n_classes")
    none = none.replace("self.layer(x)", "x.mean(-1, keepdim=True).expand(*x.shape[:2], 1 + self.n)")
    (tmp_path / "none.py").write_text(FIRST + none)
    result = check(f"{tmp_path / 'none.py'}:H")
    assert result.exit_code == 1 and "has no parameter that training could adjust" in result.output


def test_no_code_is_refused():
    result = check("unet")
    assert result.exit_code == 1 and "names no code of your own" in result.output
