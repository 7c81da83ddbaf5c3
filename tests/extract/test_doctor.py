"""What `ballspot doctor` finds, on this machine and on one where something is missing."""

import json
import sys
import tomllib
from pathlib import Path

import av
import pytest
from click.testing import CliRunner

from ballspot.cli import main
from ballspot.extract import doctor


def examined(part):
    return {finding.name: finding for finding in part()}


def test_here_every_decoder_that_is_installed_reads_back_what_was_written():
    found = examined(doctor.decoders)
    assert found["H.264"].state == found["pyav"].state == "ok"
    assert found["decord"].state == ("ok" if doctor.version_of("decord") else "missing")


def test_a_decoder_that_gives_the_frames_in_another_order_is_a_fault(monkeypatch, tmp_path):
    from ballspot.extract import video

    def mixed(probe, name):
        source = video.PyavSource(probe)
        straight = source.frames
        source.frames = lambda start, stop, step=1: iter(list(straight(start, stop, step))[::-1])
        return source

    monkeypatch.setattr(video, "open_source", mixed)
    doctor.write_video(tmp_path / "v.mp4")
    finding = doctor.tried("decord", tmp_path / "v.mp4")
    assert finding.state == "fault" and "other frames" in finding.text


def test_a_decoder_says_its_own_version_also_where_its_package_has_another_name(monkeypatch, tmp_path):
    """decord comes as decord2 on macOS, where no distribution is called decord."""
    monkeypatch.setattr(doctor, "version_of", lambda name: None)
    doctor.write_video(tmp_path / "v.mp4")
    assert doctor.tried("pyav", tmp_path / "v.mp4").text == f"{av.__version__}, reads what was written"


def test_every_extra_of_the_package_that_is_not_for_its_developers_is_looked_for():
    with (Path(doctor.__file__).parents[1] / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert extras.keys() - {"dev", "docs", "fuzz", "soccernet"} == doctor.EXTRAS.keys()


def test_a_missing_extra_has_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda module: None)
    found = examined(doctor.extras)
    assert {finding.state for finding in found.values()} == {"missing"}
    assert found["openvino"].remedy == "pip install 'ballspot[openvino]'"


def test_a_missing_package_is_a_fault_and_the_exit_code_one(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "NEEDED", (*doctor.NEEDED, "no-such-package-of-ours"))
    for part in ("devices", "decoders", "extras"):
        monkeypatch.setattr(doctor, part, lambda: iter(()))
    result = CliRunner().invoke(main, ["doctor", str(tmp_path)])
    assert result.exit_code == 1
    assert "! no-such-package-of-ours  pip install no-such-package-of-ours" in result.stdout
    assert "1 thing to repair" in result.stdout


def test_json_has_every_finding_and_a_wrong_folder_is_told(monkeypatch, tmp_path):
    for part in ("devices", "decoders"):
        monkeypatch.setattr(doctor, part, lambda: iter(()))
    result = CliRunner().invoke(main, ["doctor", str(tmp_path), "--json"])
    names = {record["name"]: record for record in json.loads(result.stdout)}
    assert result.exit_code == 0 and names["Python"]["text"].startswith(".".join(map(str, sys.version_info[:2])))
    wrong = CliRunner().invoke(main, ["doctor", str(tmp_path / "none")])
    assert wrong.exit_code == 1 and "none: no such folder" in wrong.stderr


@pytest.mark.parametrize(
    ("has_gpu", "built", "expected"),
    [(False, "13.0", "--index-url https://download.pytorch.org/whl/cpu"), (False, None, "")],
)
def test_wheels_for_gpus_on_a_machine_without_one_are_told_of(monkeypatch, has_gpu, built, expected):
    import torch

    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.version, "cuda", built)
    (finding,) = doctor.gpus(torch)
    assert expected in finding.remedy and bool(finding.remedy) == bool(expected)
