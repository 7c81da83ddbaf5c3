"""What `ballspot doctor` finds, on this machine and on one where something is missing."""

import errno
import json
import os
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

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


def test_devices_are_told_and_a_torch_that_cannot_be_loaded_is_a_fault(monkeypatch):
    here = examined(doctor.devices)
    assert re.search(r"\d+ of \d+ cores for this process", here["CPU"].text)
    assert re.fullmatch(r"[\d.]+ GiB, [\d.]+ GiB unused", here["memory"].text)
    assert here.keys() & {"GPU", "cuda:0"}
    monkeypatch.setattr(doctor, "bfloat16_units", lambda: ())
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it was never installed
    found = examined(doctor.devices)
    assert found["bfloat16"].state == "note" and "slower than float32" in found["bfloat16"].text
    assert found["torch"].state == "fault" and found["torch"].remedy == "pip install --force-reinstall torch"
    assert "cannot be loaded: import of torch halted" in found["torch"].text


def test_every_gpu_is_told_with_its_memory(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: ((60 + index) * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "H200")
    found = examined(lambda: doctor.gpus(torch))
    assert {name: one.text for name, one in found.items()} == {
        "cuda:0": "H200, 60.0 of 80.0 GiB free",
        "cuda:1": "H200, 61.0 of 80.0 GiB free",
    }


@pytest.mark.parametrize("kind", ["apple", "driver"])
def test_a_gpu_that_is_not_used_is_told_with_what_may_mend_it(monkeypatch, kind):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: kind == "apple")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    (found,) = doctor.gpus(torch)
    assert found.state == "note"
    if kind == "apple":
        assert "Apple's GPU is there" in found.text and not found.remedy
    else:
        assert "NVIDIA's tools are installed" in found.text and found.remedy.startswith("nvidia-smi ")


def test_a_system_that_does_not_tell_its_memory_is_no_error(monkeypatch):
    monkeypatch.delattr(doctor.os, "sysconf")  # Windows
    assert doctor.memory_text() == "the system does not say"


def test_a_system_that_ballspot_is_not_tested_on_is_worth_knowing(monkeypatch):
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    system = examined(doctor.versions)["system"]
    assert system.state == "note" and system.text.startswith("Darwin ") and "tested on Linux alone" in system.text


def test_without_pyav_or_its_encoder_the_decoders_are_a_fault(monkeypatch):
    from av.error import FFmpegError

    def refuses(path):
        raise FFmpegError(1, "no encoder of that name")

    monkeypatch.setattr(doctor, "write_video", refuses)
    (h264,) = doctor.decoders()
    assert (h264.name, h264.state) == ("H.264", "fault") and "cannot write H.264" in h264.text
    monkeypatch.setitem(sys.modules, "av", None)
    (pyav,) = doctor.decoders()
    assert (pyav.name, pyav.state, pyav.remedy) == ("pyav", "fault", "pip install --force-reinstall av")


def test_pyav_that_reads_nothing_is_a_fault_and_another_decoder_is_missing(monkeypatch, tmp_path):
    from ballspot.extract import video

    def broken(probe, name):
        raise ImportError(f"lib{name}.so: cannot open shared object file\nand more")

    monkeypatch.setattr(video, "open_source", broken)
    doctor.write_video(tmp_path / "v.mp4")
    found = {name: doctor.tried(name, tmp_path / "v.mp4") for name in ("pyav", "decord")}
    assert [one.state for one in found.values()] == ["fault", "missing"]
    assert found["pyav"].remedy == "pip install --force-reinstall av"
    assert found["decord"].text == "libdecord.so: cannot open shared object file"  # one line


def test_little_room_and_a_disk_that_takes_no_files_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**8))
    found = examined(lambda: doctor.disks(tmp_path))
    assert found["space"].state == "note" and "0.1 GiB free; seven matches of SN-BAS need" in found["space"].text
    assert found["writing"].state == "ok" and not list(tmp_path.iterdir())
    if "shared memory" in found:
        assert found["shared memory"].state == "note" and "--shm-size" in found["shared memory"].remedy

    def full(**how):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", full)
    writing = examined(lambda: doctor.disks(tmp_path))["writing"]
    assert writing.state == "fault" and writing.text == f"{tmp_path.resolve()}: No space left on device"
    assert writing.remedy == "give --out and --run on another disk"


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("/bin/zsh", "zsh_source ballspot)\"' >> ~/.zshrc"),
        ("/usr/bin/fish", "fish_source ballspot > ~/.config/fish/completions/ballspot.fish"),
        ("/opt/nu", "bash_source ballspot)\"' >> ~/.bashrc"),
    ],
)
def test_where_all_works_the_line_for_the_tab_key_is_that_of_the_shell(monkeypatch, tmp_path, shell, line):
    monkeypatch.setenv("SHELL", shell)
    for part in ("devices", "decoders"):
        monkeypatch.setattr(doctor, part, lambda: iter(()))
    result = CliRunner().invoke(main, ["doctor", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "Everything that is needed works." in result.stdout and result.stdout.rstrip().endswith(line)
