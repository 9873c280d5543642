"""The command, in processes of its own: results, and every refusal as one sentence with exit code 2."""

import json
import resource
import subprocess
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from PIL import Image

from fewstep import cli

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_generate_writes_a_picture_and_json(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "heart.png"
    done = fewstep_command("generate", tiny_bundle, "a red heart", "--seed", 7, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["files"] == [str(out)]
    assert result["step_table"] == "flow-dpm++2m-4"
    (picture,) = result["pictures"]
    assert (picture["prompt"], picture["seed"]) == ("a red heart", 7)
    assert picture["seconds"]["denoiser"] > 0
    with Image.open(out) as image:
        assert (image.mode, image.size) == ("RGBA", (16, 16))


def test_generate_gives_the_same_bytes_twice_and_takes_its_options(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    def png(name: str, *options: object) -> bytes:
        done = fewstep_command("generate", tiny_bundle, "a red heart", *options, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        return (tmp_path / name).read_bytes()

    base = png("a.png", "--threads", 1)
    assert png("b.png", "--threads", 1) == base
    others = [
        png("c.png", "--steps", 9, "--sampler", "flow-euler"),
        png("d.png", "--guidance", 1),
        png("e.png", "--negative", "a star"),
    ]
    assert len({base, *others}) == 4
    assert png("f.png", "--variant", "fp32-ort", "--sequential")


def test_several_prompts_give_several_files_or_a_sheet(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    done = fewstep_command("generate", tiny_bundle, "a heart", "a star", "-o", tmp_path / "x.png")
    assert done.stdout.split() == [str(tmp_path / "x-0.png"), str(tmp_path / "x-1.png")]
    done = fewstep_command(
        "generate", tiny_bundle, "--examples", "--sheet", "--columns", 2, "-o", tmp_path / "s.png"
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (2 * 32, 2 * 60)
    alone = fewstep_command("generate", tiny_bundle, "a star", "--seed", 1, "-o", tmp_path / "alone.png")
    assert alone.returncode == 0
    assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "x-1.png").read_bytes()


def test_info_and_verify(fewstep_command: Command, tiny_bundle: Path) -> None:
    info = fewstep_command("info", tiny_bundle)
    assert info.returncode == 0
    for fact in (
        "tiny: 16 x 16 pixels",
        "variant fp32 (default)",
        "flow-euler-4",
        "at most 8 tokens",
        "Apache-2.0",
    ):
        assert fact in info.stdout
    assert json.loads(fewstep_command("info", tiny_bundle, "--json").stdout)["name"] == "tiny"
    verify = fewstep_command("verify", tiny_bundle, "--json")
    assert json.loads(verify.stdout)["variants"] == ["fp32", "fp32-ort"]
    assert json.loads(verify.stdout)["files"] == 8


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One sentence on standard error, nothing on standard output, exit code 2."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    # A note on a room that cannot be imported is no part of the refusal; that room's own tests fail for it.
    lines = [line for line in done.stderr.splitlines() if line.strip() and "are not available" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("fewstep: ")
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["red " * 10_000], "expected a prompt of at most 8 tokens, found 10002 tokens"),
        (["a heart", "--steps", 0], "expected at least 1 step, found 0"),
        (
            ["a heart", "--sampler", "ddim"],
            "flow-renoise, found 'ddim'; choose one",
        ),
        (["a heart", "--variant", "int4"], "expected one of the variants fp32, fp32-ort, found 'int4'"),
        (["a heart", "--seed", -1], "expected a seed from 0 to 2^64 - 1, found -1"),
        (["a heart", "--threads", 0], "expected at least 1 thread, found 0"),
        (["a heart", "--guidance", "nan"], "expected a finite guidance scale, found nan"),
        ([], "expected at least one prompt, found none"),
    ],
)
def test_generate_refuses_in_one_sentence(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path, arguments: list[object], part: str
) -> None:
    refused(fewstep_command("generate", tiny_bundle, *arguments, "-o", tmp_path / "x.png"), part)
    assert not list(tmp_path.iterdir())


def test_a_missing_bundle_is_refused(fewstep_command: Command, tmp_path: Path) -> None:
    for command in (
        ["generate", tmp_path / "no", "a heart"],
        ["info", tmp_path / "no"],
        ["verify", tmp_path / "no"],
    ):
        refused(
            fewstep_command(*command), "expected a bundle folder, found none", "export one or check the path"
        )


def test_a_changed_byte_and_a_truncated_graph_are_refused(
    fewstep_command: Command, bundle_copy: Path, tmp_path: Path, resign: Callable[[Path], None]
) -> None:
    path, out = bundle_copy / "ort/fp32/denoiser.onnx", tmp_path / "x.png"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    for arguments in (["generate", bundle_copy, "a heart", "-o", out], ["verify", bundle_copy]):
        refused(
            fewstep_command(*arguments),
            "expected SHA-256",
            "denoiser.onnx",
            "export or copy the bundle again",
        )
    path.write_bytes(data[:-200])
    resign(bundle_copy)
    for arguments in (["generate", bundle_copy, "a heart", "-o", out], ["verify", bundle_copy]):
        refused(fewstep_command(*arguments), "expected an ONNX graph, found a broken one", "denoiser.onnx")
    assert not out.exists()


def test_a_full_disk_leaves_nothing_behind(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.png"

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = fewstep_command("generate", tiny_bundle, "a heart", "-o", out, preexec_fn=no_large_files)
    refused(done, "File too large", str(out), "nothing half-written was left")
    assert not list(tmp_path.iterdir())
    refused(
        fewstep_command("generate", tiny_bundle, "a heart", "-o", "/dev/full"),
        "No space left on device: /dev/full",
    )


def test_a_folder_that_cannot_be_written_is_refused(
    fewstep_command: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    refused(
        fewstep_command("generate", tiny_bundle, "a heart", "-o", tmp_path / "file" / "x.png"), "file/x.png"
    )


def test_rooms_add_commands_and_a_broken_room_costs_only_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "room_for_test.py").write_text(
        "def register(app):\n    @app.command()\n    def paint(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rooms = [
        EntryPoint("broken", "no_such_package.cli:register", cli.COMMANDS_GROUP),
        EntryPoint("room", "room_for_test:register", cli.COMMANDS_GROUP),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: rooms if group == "fewstep.commands" else [])
    names = {command.callback.__name__ for command in cli.build_app().registered_commands if command.callback}
    assert {"generate", "info", "verify", "paint"} <= names
    assert "the commands of 'broken' are not available" in capsys.readouterr().err


def test_help_lists_the_commands(fewstep_command: Command) -> None:
    done = fewstep_command("--help")
    assert done.returncode == 0
    for command in ("generate", "info", "verify"):
        assert command in done.stdout
