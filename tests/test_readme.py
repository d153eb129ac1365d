"""The README is run: every console block is executed in order, and must print what it says.

``SEGCLI_UPDATE_README=1`` writes the outputs, and the pictures that it shows, anew.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from segcli.artifacts import catalogue
from segcli.artifacts.formats import Artifact
from segcli.cli import STAGES, main
from segcli.inputs.columns import KNOWN, plain
from segcli.numerics.stability import GRADES
from segcli.numerics.verdict import (
    LEAST_GAIN_ABOVE_NULL,
    LEAST_STABILITY,
    LEAST_TRANSFER,
    LEAST_TRANSFER_ABOVE_NULL,
)

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
PICTURE = re.compile(r"!\[.+?\]\((.+?)\)")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_block(block):
    """Return the block with the output that its commands print now."""
    lines = []
    for command in commands(block):
        lines.append(f"$ {command}\n")
        words = shlex.split(command.replace("\\\n", " "))
        assert words[0] == "segcli", command
        result = CliRunner().invoke(main, words[1:], prog_name="segcli", terminal_width=88)
        output = "\n".join(line.rstrip() for line in result.output.splitlines())
        lines.append(output + "\n" if output else "")
    return "".join(lines)


def commands(block):
    """Return the commands of a block; one may go on over lines that end in a backslash."""
    found = re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)
    assert found, f"no command in {block!r}"
    return found


def test_every_block_prints_and_draws_what_the_readme_shows(shop):
    text = README.read_text(encoding="utf-8")
    now = BLOCK.sub(lambda match: f"```console\n{run_block(match[1])}```", text)
    for block in PYTHON.findall(text):
        exec(compile(block, str(README), "exec"), {})
    pictures = [ROOT / picture for picture in PICTURE.findall(text)]
    assert pictures
    if os.environ.get("SEGCLI_UPDATE_README"):
        README.write_text(now, encoding="utf-8")
        for picture in pictures:
            shutil.copy(shop / "shop" / picture.name, picture)
    assert BLOCK.findall(text) == BLOCK.findall(now)
    for picture in pictures:
        assert looks_like(shop / "shop" / picture.name, picture), picture.name


def looks_like(drawn, shown):
    """Whether two pictures are the same, as far as this version of matplotlib can tell."""
    if f"matplotlib=={mpl.__version__}\n" not in LOCK:
        return True  # another one draws other letters
    drawn, shown = (imread(picture) for picture in (drawn, shown))
    # Another processor may round a point to the next pixel.
    return drawn.shape == shown.shape and np.mean((drawn != shown).any(axis=2)) < 1e-4


def test_every_command_and_option_is_in_the_readme():
    text = README.read_text(encoding="utf-8")
    for name, command in main.commands.items():
        assert f"segcli {name}" in text
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in text, f"{name} {option}"


def test_every_artifact_is_in_the_readme():
    text = README.read_text(encoding="utf-8")
    names = [a.name for a in vars(catalogue).values() if isinstance(a, Artifact)]
    assert [name for name in names if f"`{name}`" not in text] == []


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md", "sample_data/README.md"])
def test_links_lead_somewhere(page):
    page = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        path, _, anchor = link.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def test_what_a_supported_k_needs_is_what_the_readme_says():
    needs = re.search(r"A k is supported if all of this holds:.*?decide nothing", TEXT, re.DOTALL)[
        0
    ]
    for least in (
        LEAST_STABILITY,
        LEAST_TRANSFER,
        LEAST_TRANSFER_ABOVE_NULL,
        LEAST_GAIN_ABOVE_NULL,
    ):
        assert f"{least}" in needs
    grades = TEXT.partition("**Grades.**")[2].partition("*Precision*")[0]
    for least, word in GRADES:
        assert f"{least}" in grades
        assert word in grades


def test_columns_that_the_readme_says_are_known_are_known():
    names = re.search(
        r"\*\*Columns\*\* are recognized by their header, by names such as (.*?)\. ",
        TEXT,
        re.DOTALL,
    )[1]
    for listed, role in zip(names.split(";"), ("customer", "item", "value"), strict=True):
        for name in re.findall(r"`(\w+)`", listed):
            assert plain(name) in KNOWN[role], name


def test_what_the_opening_shows_is_printed_below():
    opening = TEXT.partition("\n## ")[0]
    (shown,) = re.findall(r"(?:^    .*\d\.\d\d.*\n)+", opening, re.MULTILINE)
    printed = "".join(BLOCK.findall(TEXT)).splitlines()
    for line in shown.splitlines():
        assert line.removeprefix("    ") in printed


def test_of_raw_values_no_segments_are_supported(shop):
    (command,) = re.findall(
        r"^    segcli (run sample_data/.* --weighting raw .*)$", TEXT, re.MULTILINE
    )
    result = CliRunner().invoke(main, shlex.split(command))
    assert result.exit_code == 3
    assert "\nno supported k from 2 to " in result.output
    assert "heavy and light customers are mostly in different segments" in result.output


def test_each_stage_has_the_options_that_the_readme_says():
    every = TEXT.partition("\n## Every option\n")[2]
    rows = dict(re.findall(r"^\| `(.+?)` \| (.*) \|$", every, re.MULTILINE))
    for stage in (*STAGES, main.commands["label"]):
        options = {p.opts[0] for p in stage.params if p.param_type_name == "option"}
        beside = set(re.findall(r"`(--[\w-]+)`", rows[stage.name]))
        assert beside | {"--engine", "--master", "--json"} == options, stage.name
