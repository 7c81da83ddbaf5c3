"""Names of own code, the digest of its file, and when a copy may run."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache import code
from ballspot.cache.code import (
    TRUST_VARIABLE,
    allow_code,
    called,
    is_reference,
    keep_code,
    kept_copy,
    load_code,
    parse_reference,
    pin_code,
    portable,
    settle_code,
    shown,
)
from ballspot.cache.errors import BallspotError
from ballspot.cache.workers import Executor

SOURCE = "def double(x, times=2):\n    return times * x\n\n\nclass Kept:\n    pass\n"
NAME = st.from_regex(r"[a-z_]\w{0,8}", fullmatch=True)


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "mine.py"
    path.write_text(f"{SOURCE}# {tmp_path.name}\n")  # a digest of its own: what is loaded and held is kept by it
    return path


def pinned(text: str = "mine.py:double") -> str:
    return pin_code(text, where="--head", kind="class")


@given(NAME, NAME, st.sampled_from(["", "(a=1)", "(a='x:y', b=[1, 2])"]), st.sampled_from(["", "/a b/", "x/"]))
def test_a_name_is_its_parts_and_back(module, name, options, folder):
    text = f"{folder}{module}.py:{name}{options}"
    found = parse_reference(text)
    assert str(found) == text and (found.base, found.name) == (f"{module}.py", name)
    with_digest = f"{text}@{'a' * 64}"
    assert portable(with_digest) == f"{module}.py:{name}{options}@{'a' * 64}" == portable(portable(with_digest))
    assert shown(with_digest) == f"{module}.py:{name}{options}@aaaaaaaa"


@pytest.mark.parametrize("text", ["unet", "random:7", "regnety_002+gsf:s3,s4", "a.py", "a.py:", ":b", "a b:c", 3, ""])
def test_other_values_are_no_names(text):
    assert not is_reference(text)
    assert not isinstance(text, str) or portable(text) == text == shown(text)


def test_a_name_gets_the_place_and_digest_of_its_file_and_nothing_runs(file):
    file.write_text("raise SystemExit('it ran')\n\ndef double():\n    pass\n")
    text = pinned()
    assert text == f"{file}:double@{sha256(file.read_bytes()).hexdigest()}" == pinned("mine:double") == pinned(text)
    with pytest.raises(BallspotError, match=r"mine\.py, line 1: double when its file was run: SystemExit: it ran"):
        load_code(text)


def test_what_is_loaded_is_called_with_what_it_asks_for(file):
    assert called(pinned(), {"x": 4, "other": 1}) == 8
    assert called(pinned("mine.py:double(times=3)"), {"x": 4, "times": 5}) == 12
    with pytest.raises(BallspotError, match=r"mine\.py:double: has no parameter 'twice'; it takes x, times"):
        called(pinned("mine.py:double(twice=3)"), {"x": 4})
    with pytest.raises(BallspotError, match="asks for 'x', which is neither given nor an option"):
        called(pinned(), {"y": 4})
    with pytest.raises(BallspotError, match=r"mine\.py, line 2: double when it was made: TypeError"):
        called(pinned(), {"x": None})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gone.py:double", "gone.py: no such file"),
        ("gone:double", "no module gone.py in the working folder, and none installed"),
        ("mine.py:doubel", "does not define doubel; did you mean double?"),
        ("mine.py:double(3)", "options (3) are not name=value with plain values"),
        ("mine.py:double(x=open('a'))", "are not name=value"),
        ("imports.py:Path", "only imports Path; name the file or module that defines it"),
        ("broken.py:f", "broken.py, line 2: is not Python"),
        ("latin.py:f", "is not UTF-8 text"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(file, text, said):
    (file.parent / "imports.py").write_text("from pathlib import Path\n")
    (file.parent / "broken.py").write_text("x = 1\ndef f(:\n")
    (file.parent / "latin.py").write_bytes(b"# \xe9\ndef f(): pass\n")
    with pytest.raises(BallspotError) as error:
        pinned(text)
    assert said in str(error.value) and "--head" in str(error.value) + "--head" * (
        "options" in said or "not name" in said
    )


def test_a_class_is_no_function(file):
    with pytest.raises(BallspotError, match="Kept is not a function; write `def Kept"):
        pin_code("mine.py:Kept", where="--backbone", kind="function")


def test_an_installed_module_is_found_without_its_folder():
    text = pinned("json.decoder:JSONDecoder")
    assert text.startswith("json.decoder:JSONDecoder@") and load_code(text).__name__ == "JSONDecoder"


def test_a_changed_file_is_refused_with_both_files_and_a_gone_one_runs_as_it_was_kept(file, monkeypatch):
    text, run = pinned(), file.parent / "run"
    keep_code([text, "unet", 3], run)
    copy = kept_copy(run, parse_reference(text))
    assert copy.read_bytes() == file.read_bytes()
    assert settle_code(text, near=run, owner="run") == text
    content = file.read_bytes()
    file.write_bytes(content + b"# changed\n")
    with pytest.raises(BallspotError) as refused:
        settle_code(text, near=run, owner="run")
    assert str(copy) in str(refused.value) and f"{file} has changed since" in str(refused.value)
    with pytest.raises(BallspotError, match="changed since"):
        load_code(text)
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    assert settle_code(text, near=run, owner="run") == portable(text)
    monkeypatch.delenv(TRUST_VARIABLE)
    file.unlink()
    assert called(settle_code(text, near=run, owner="run"), {"x": 1}) == 2


def test_code_that_was_never_named_here_waits_to_be_trusted(file, monkeypatch):
    text, run = pinned(), file.parent / "run"
    keep_code([text], run)
    content = file.read_bytes()
    file.unlink()
    forget(monkeypatch, file)
    with pytest.raises(BallspotError, match="give --trust-code to run the kept copy"):
        settle_code(text, near=run, owner="run")
    with pytest.raises(BallspotError, match="which was never named here; give --trust-code"):
        allow_code(portable(text), content, owner="a.ballspot")
    with pytest.raises(BallspotError, match="does not hold the code"):
        allow_code(portable(text), content + b"#", owner="a.ballspot")
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    allow_code(portable(text), content, owner="a.ballspot")
    assert called(portable(text), {"x": 1}) == 2


def forget(monkeypatch, file: Path) -> None:
    """Makes this process one of another user, who has named no code."""
    monkeypatch.setattr(code.trust, "_seen", set())
    monkeypatch.setattr(code.places, "_held", {})
    monkeypatch.setenv("XDG_STATE_HOME", str(file.parent / "another-user"))


@pytest.mark.parametrize(
    "name", ["mine.py:double", "timeit:timeit(stmt='import pathlib; pathlib.Path(\"ran\").touch()', number=1)"]
)
def test_a_file_that_is_there_waits_to_be_trusted_as_well(file, monkeypatch, name):
    """A record names what anybody has, by the digest that anybody knows: of Python's own `timeit.py`, of a public file.

    The digest is the one that `pin_code` gives; the options of `timeit` would run whatever they say.
    """
    text, run = pinned(name), file.parent / "run"
    assert parse_reference(text).digest
    forget(monkeypatch, file)
    assert pinned(text) == text  # which names nothing
    for run_it in (
        lambda: called(text, {"x": 1}),
        lambda: settle_code(text, near=run, owner="run"),
        lambda: allow_code(text, None, owner="a.ballspot"),
        lambda: keep_code([text], run),
    ):
        with pytest.raises(BallspotError, match="was never named here; give --trust-code"):
            run_it()
    assert not Path("ran").exists() and not run.exists()
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    assert settle_code(text, near=run, owner="run") == text
    assert called(text, {"x": 1}) is not None
    forget(monkeypatch, file)
    monkeypatch.delenv(TRUST_VARIABLE)
    pinned(name)  # now it is named
    assert called(settle_code(text, near=run, owner="run"), {"x": 1}) is not None


def test_a_record_that_lies_beside_a_file_names_it_not(file, monkeypatch):
    text = portable(pinned())
    forget(monkeypatch, file)
    with pytest.raises(BallspotError, match="was never named here"):
        load_code(pinned(text))


def test_of_a_trusted_file_runs_what_it_defines_and_nothing_that_it_imports(file):
    source = "from subprocess import run\nimport os\nsystem = os.system\n\n\ndef f():\n    return 1\n\n\n"
    file.write_text(f"{source}g = f\nh = lambda: 2\n# {file}\n")
    text = pinned("mine.py:f")
    assert [called(text.replace(":f@", f":{name}@"), {}) for name in "fgh"] == [1, 1, 2]
    for name, said in (("run", "only imports run"), ("system", "does not define system"), ("__loader__", "not define")):
        with pytest.raises(BallspotError, match=said):
            load_code(text.replace(":f@", f":{name}@"))


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs links into the working folder")
def test_a_record_cannot_reach_the_working_folder_by_a_link(file, monkeypatch):
    place = pinned().replace(str(file.parent), "/proc/self/cwd")
    monkeypatch.setattr(code.trust, "_seen", set())
    monkeypatch.setattr(code.places, "_held", {})
    with pytest.raises(BallspotError, match="is not at /proc/self/cwd"):
        load_code(place)


def doubled(text: str, device: str, tell) -> int:
    return called(text, {"x": 4})


def test_what_was_named_here_runs_in_processes_that_work_for_this_one(file, monkeypatch):
    """No file keeps a memory of it, so it is handed on."""
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    (ended,) = Executor(1).run(doubled, [pinned()])
    assert ended.result == 8


def test_a_home_that_cannot_be_written_is_no_error(file, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    assert is_reference(pinned())
