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
        ("return self.layer(x)", "return [self.layer(x)]", "made", "gives list as class_logits, no tensor (1, 10, 13)"),
        ("return self.layer(x)", "return self.layer(x).long()", "made", "as torch.int64, no floating-point numbers"),
        ("return self.layer(x)", "return (self.layer(x),) * 4", "made", "gives 4 values, more than class_logits, offs"),
        ("super().__init__()", "super().__init__()\n        self.width = 4.5", "made", "its width is 4.5, no whole"),
        (
            "def forward",
            "def get_extra_state(self):\n        return {}\n\n    def forward",
            "made",
            "keeps dict '_extra",
        ),
        ("return self.layer(x)", "return self.layer(x), x[..., 0] / 0", "shapes", "offsets that are not finite"),
        ("return self.layer(x)", "return self.layer(x).log()", "shapes", "class logits that are not finite"),
        (
            "self.layer = ",
            "self.more = nn.Linear(dim, 2)\n        self.layer = ",
            "gradients",
            "the loss does not reach more.weight and 1 more: use it in forward",
        ),
        (
            "return self.layer(x)",
            "y = self.layer(x)\n        return y if y.dtype == torch.float32 else y / 0",
            "number types",
            "mixed precision (amp) gives scores that are not finite",
        ),
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


def test_a_head_that_sees_all_frames_and_keeps_all_is_told_how_to_thin_them_out(tmp_path):
    source = GOOD.replace("(self, dim, n_classes)", "(self, dim, n_classes, temporal_stride)")
    (tmp_path / "all.py").write_text(FIRST + source)
    result = check(f"{tmp_path / 'all.py'}:H")
    said = "for 20 frames at temporal_stride 2, not (1, 10, 13): keep one of 2 frames, x[:, ::temporal_stride]"
    assert f"gives class_logits (1, 20, 13) {said}" in result.output


def test_a_head_of_teams_gives_team_logits_by_name_or_is_told_that_it_must(tmp_path):
    named = "return {'class_logits': self.layer(x), 'team_logits': x[..., 0] * self.layer.bias[0]}"
    for name, give in (("none", "return self.layer(x)"), ("named", named)):
        (tmp_path / f"{name}.py").write_text(FIRST + GOOD.replace("return self.layer(x)", give))
    result = check(f"{tmp_path / 'none.py'}:H", "--set", "teams=head")
    assert (
        result.exit_code == 1 and "gives NoneType as team_logits (teams = 'head'), no tensor (1, 10)" in result.output
    )
    result = check(f"{tmp_path / 'named.py'}:H", "--set", "teams=head")
    assert result.exit_code == 0, result.output


def test_what_makes_no_module_is_told(tmp_path):
    (tmp_path / "none.py").write_text("def H(dim):\n    return dim\n")
    result = check(f"{tmp_path / 'none.py'}:H")
    assert result.exit_code == 1 and "gives int, no torch.nn.Module; let it be a class of nn.Module" in result.output


def test_want_of_memory_in_own_code_is_not_blamed_on_it(tmp_path):
    """A sweep and a fine-tuning answer it with smaller batches."""
    (tmp_path / "large.py").write_text(FIRST + GOOD.replace("return self.layer(x)", "raise MemoryError('of it')"))
    result = check(f"{tmp_path / 'large.py'}:H")
    assert result.exit_code == 1 and result.stderr.startswith("Error: out of memory (of it); lower what is held")
