"""The run directory under a hostile user: staleness, damage, crashes, a full disk, two at once."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from run_dirs import (
    LATER,
    ROOT,
    STAGES,
    assert_one_line,
    assert_whole,
    command_in,
    digests,
    environment,
    invoke,
    left_alone,
    ok,
    process,
    states,
)

from segcli.artifacts import catalogue, hold, manifest, open_stage, read_artifact, stage
from segcli.artifacts.formats import Text
from segcli.artifacts.shapes import check_shape
from segcli.engine import scratch
from segcli.errors import RunDirectoryError

FRESH = dict.fromkeys(STAGES, "fresh")
PENDING, COMMIT = stage._PENDING, stage._COMMIT
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount"
)


# Staleness


def test_a_finished_run_is_fresh_and_whole(place):
    assert states(place.run) == FRESH
    assert_whole(place.run)


def test_an_artifact_that_was_altered_or_is_stale_is_not_read(place):
    place.change_one_row()
    ok(*STAGES["ingest"])
    with pytest.raises(RunDirectoryError, match=r"is stale: matrix\.npz has changed since"):
        read_artifact(place.run, catalogue.PCA_MODEL)
    path = place.run / catalogue.CUSTOMERS.name
    path.write_text(path.read_text() + "another\n")
    with pytest.raises(RunDirectoryError, match="was altered or cut short"):
        read_artifact(place.run, catalogue.CUSTOMERS)


@pytest.mark.parametrize("name", LATER)
def test_after_another_ingest_each_later_stage_is_refused_or_follows(place, name):
    place.change_one_row()
    ok(*STAGES["ingest"])
    assert states(place.run) == {**dict.fromkeys(LATER, "stale"), "ingest": "fresh"}
    before = digests(place.run)
    if name == "explore-pca":  # the first reads the matrix alone: it mends itself
        ok(*STAGES[name])
    else:
        line = assert_one_line(invoke(*STAGES[name]), "is stale: matrix.npz has changed since")
        assert command_in(line) == [*STAGES["explore-pca"], "--weighting", "pearson"]
        assert digests(place.run) == before


def test_the_commands_in_the_errors_lead_back_to_fresh(place):
    place.change_one_row()
    ok(*STAGES["ingest"])
    for _ in range(12):
        result = invoke(*STAGES["report"])
        if result.exit_code == 0:
            break
        ok(*command_in(assert_one_line(result)))
    found = states(place.run)
    assert [found[name] for name in ("ingest", "explore-pca", "cluster", "report")] == ["fresh"] * 4
    assert_whole(place.run)


def test_the_commands_of_status_lead_back_to_fresh(place):
    place.change_one_row()
    ok(*STAGES["ingest"])
    commands = []
    while "stale" in states(place.run).values():
        last = ok("status", "run").stdout.splitlines()[-1]
        commands.append(command_in(last))
        ok(*commands[-1])
    assert [command[0] for command in commands] == list(LATER)
    assert states(place.run) == FRESH


def test_the_same_data_again_leave_every_stage_fresh_and_every_byte(place):
    with left_alone(place.run):
        ok(*STAGES["ingest"])
        assert states(place.run) == FRESH
        for args in STAGES.values():
            ok(*args)


def test_another_choice_upstream_makes_only_what_rests_on_it_stale(place):
    ok(*STAGES["cluster"][:-1], "2")
    assert [name for name, state in states(place.run).items() if state == "stale"] == [
        "validate",
        "report",
    ]


def test_a_stage_that_never_ran_is_named_with_its_choices(place):
    shutil.rmtree(place.run)
    ok(*STAGES["ingest"])
    line = assert_one_line(invoke("cluster", "run", "--n-components", "2", "--n-clusters", "2"))
    assert line.endswith(
        "pca.joblib is missing: explore-pca has not run here. Run: segcli explore-pca run"
    )
    line = assert_one_line(invoke("validate", "run"))
    assert line.endswith("Run: segcli cluster run --n-components P --n-clusters K")


# Damage

READERS = {
    "matrix.npz": ("explore-pca", "explore-k", "cluster", "validate", "report"),
    "customers.csv": ("cluster",),
    "items.csv": ("explore-pca", "cluster", "report"),
    "pca.joblib": ("explore-k", "cluster"),
    "segmentation.joblib": ("validate", "report"),
    "segments.csv": ("validate", "report"),
}


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "cut short": (cut_short, "was altered or cut short"),
    "altered": (alter, "was altered or cut short"),
    "empty": (empty, "was altered or cut short"),
    "removed": (Path.unlink, "was removed"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_with_the_command_that_mends_it(place, name, damage):
    whole = digests(place.run)
    hurt, words = DAMAGE[damage]
    hurt(place.run / name)
    with left_alone(place.run):
        writer = next(a.stage for a in vars(catalogue).values() if getattr(a, "name", "") == name)
        assert states(place.run)[writer] == "altered"
        for reader in READERS[name]:
            line = assert_one_line(invoke(*STAGES[reader]), name, words)
            assert command_in(line)[0] == writer
    ok(*command_in(line))
    assert digests(place.run) == whole


def test_a_folder_in_an_artifacts_place_is_refused(place):
    a_folder(place.run / "segments.csv")
    (place.run / "segments.csv" / "mine").touch()
    with left_alone(place.run):
        assert_one_line(invoke(*STAGES["validate"]), "segments.csv")
        assert_one_line(invoke(*STAGES["cluster"]), "segments.csv is in the way")


def test_a_model_of_a_stranger_runs_nothing(place):
    """Even with a manifest that vouches for it."""
    path = place.run / "pca.joblib"
    path.write_bytes(b"cos\nmkdir\n(S'struck'\ntR.")
    document = json.loads((place.run / "manifest.json").read_text())
    document["stages"]["explore-pca"]["writes"]["pca.joblib"] = manifest.digest(path)
    (place.run / "manifest.json").write_text(json.dumps(document))
    line = assert_one_line(invoke(*STAGES["explore-k"]), "it holds os.mkdir")
    assert command_in(line)[0] == "explore-pca"
    assert not Path("struck").exists()


def vouched_for(place, name, content):
    """Write an artifact anew, and its digest into the manifest, wherever it is written or read."""
    path = place.run / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    document = json.loads((place.run / "manifest.json").read_text())
    for record in document["stages"].values():
        for files in (record["reads"], record["writes"]):
            if name in files:
                files[name] = manifest.digest(path)
    (place.run / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "edit", "stages", "said"),
    [
        (
            "clustering.json",
            lambda d: d.pop("segments"),
            ("validate", "report"),
            "it has no segments",
        ),
        (
            "clustering.json",
            lambda d: d["segments"][1].pop("grade"),
            ("validate", "report"),
            "segments[1] has no grade",
        ),
        (
            "clustering.json",
            lambda d: d["segments"].pop(),
            ("validate", "report"),
            "segments are not those of k = 3",
        ),
        ("clustering.json", lambda d: d.update(k=True), ("validate",), "k is no whole number"),
        (
            "clustering.json",
            lambda d: d.update(sizes=[1, "2"]),
            ("validate",),
            "sizes[1] is no whole",
        ),
        (
            "clustering.json",
            lambda d: d["evidence"].pop("is_sample"),
            ("validate", "report"),
            "evidence has no is_sample",
        ),
        ("k_verdict.json", lambda d: d.pop("recommended"), ("cluster", "report"), "no recommended"),
        ("k_verdict.json", lambda d: d.update(supported=3), ("validate",), "supported is no array"),
        ("validation.json", lambda d: d.update(verdict="yes"), ("report",), "verdict is no object"),
        (
            "validation.json",
            lambda d: d["verdict"].update(all_but=3),
            ("report",),
            "verdict.all_but is no array",
        ),
        (
            "validation.json",
            lambda d: d["verdict"].update(near_limit=["3"]),
            ("report",),
            "verdict.near_limit[0] is no whole number",
        ),
        (
            "k_verdict.json",
            lambda d: d.update(near_limit=3),
            ("cluster",),
            "near_limit is no array",
        ),
        ("components_verdict.json", lambda d: d.pop("suggestions"), ("report",), "no suggestions"),
    ],
)
def test_a_document_that_lacks_something_is_refused_whatever_vouches_for_it(
    place, name, edit, stages, said
):
    found = json.loads((place.run / name).read_text())
    edit(found)
    vouched_for(place, name, json.dumps(found))
    before = digests(place.run)
    for reader in stages:
        line = assert_one_line(invoke(*STAGES[reader]), f"run/{name} cannot be read: ", said)
        artifact = next(a for a in vars(catalogue).values() if getattr(a, "name", None) == name)
        assert command_in(line)[0] == artifact.stage
        assert digests(place.run) == before


def least_of(name, whole):
    """Return a document without all figures and words that may be missing, and null for those that may be.

    But for ``score_norm``, without which no more of what explore-k says is read.
    """
    least = json.loads(json.dumps(whole))

    def is_refused():
        try:
            check_shape(name, least)
        except ValueError:
            return True
        return False

    def clear(part):
        for field in list(part) if isinstance(part, dict) else range(len(part)):
            if isinstance(part[field], dict | list):
                clear(part[field])
            elif isinstance(part, dict) and field != "score_norm":
                value = part.pop(field)
                for lesser in (None, value):
                    if is_refused():
                        part[field] = lesser

    clear(least)
    return least


@pytest.mark.parametrize("reader", ["cluster", "validate", "report"])
def test_what_may_be_missing_or_null_in_documents_no_stage_needs(place, reader):
    """Otherwise it would end in a traceback and not in a line."""
    for name in ("components_verdict.json", "k_verdict.json", "clustering.json", "validation.json"):
        whole = (place.run / name).read_text().replace('"is_sample": false', '"is_sample": true')
        whole = json.loads(whole)  # of a sample more is said
        least = least_of(name, whole)
        assert least != whole
        vouched_for(place, name, json.dumps(least))
    ok(*STAGES[reader])


@pytest.mark.parametrize("content", ["3", "null", "[]", '"text"'])
def test_what_is_no_document_is_refused(place, content):
    for name in ("clustering.json", "validation.json"):
        vouched_for(place, name, content)
        assert_one_line(invoke(*STAGES["report"]), "cannot be read: it is no object")


def test_a_document_of_an_older_version_may_lack_what_is_newer(place):
    found = json.loads((place.run / "k_verdict.json").read_text())
    vouched_for(place, "k_verdict.json", json.dumps(found | {"score_norm": "kept"}))
    found.pop("score_norm")
    ok(*STAGES["cluster"])
    first = digests(place.run)
    vouched_for(place, "k_verdict.json", json.dumps(found))
    ok(*STAGES["cluster"])
    assert digests(place.run)["clustering.json"] == first["clustering.json"]


@pytest.mark.parametrize(
    ("name", "column", "stage"),
    [
        ("items.csv", "item", "cluster"),
        ("customers.csv", "customer", "cluster"),
        ("segments.csv", "segment", "validate"),
        ("segments.csv", "distance", "report"),
        ("segments.csv", "membership", "report"),
        ("k_scores.csv", "k", "cluster"),
    ],
)
def test_a_table_that_lacks_a_column_is_refused(place, name, column, stage):
    found = pd.read_csv(place.run / name, dtype=str).drop(columns=column)
    vouched_for(place, name, found.to_csv(index=False))
    said = f"run/{name} cannot be read: it has no "
    assert_one_line(invoke(*STAGES[stage]), said, f"{column}. Run: segcli ")


def test_a_model_that_is_another_or_lacks_a_part_is_refused(place):
    path = place.run / "pca.joblib"
    pca = joblib.load(path)
    for other in (pca.weighting, np.ones(3)):
        joblib.dump(other, path)
        vouched_for(place, path.name, path.read_bytes())
        assert_one_line(invoke(*STAGES["explore-k"]), "pca.joblib cannot be read: it does not hold")
    del pca.weighting.__dict__["name"]
    joblib.dump(pca, path)
    vouched_for(place, path.name, path.read_bytes())
    line = assert_one_line(
        invoke(*STAGES["cluster"]), "it does not hold a whole segcli.numerics.pca.PCA"
    )
    assert command_in(line)[0] == "explore-pca"


def ingested(**fields):
    """Return a manifest of ``ingest`` that is whole, but for what these fields say."""
    names = ("parameters", "inputs", "reads", "writes", "versions")
    record = {name: {} for name in names} | {"seed": None} | fields
    return json.dumps({"format": 1, "stages": {"ingest": record}})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 200_000,
        "null",
        "\x00",
        '{"format": 2}',
        '{"format": 1}',
        '{"format": 1, "stages": []}',
        '{"format": 1, "stages": {"ingest": 3}}',
        '{"format": 1, "stages": {"ingest": {"parameters": {}, "seed": null}}}',
        ingested(clock=3),
        ingested(seed="0"),
        ingested(parameters=[]),
        ingested(parameters={"items": []}),
        ingested(parameters={"items": "long" * 100}),
        ingested(inputs={"interactions": {}}),
        ingested(writes=["matrix.npz"]),
        '{"name": "My web page", "icons": []}',
    ],
)
def test_another_manifest_is_refused_and_kept(place, content):
    (place.run / "manifest.json").write_text(content)
    with left_alone(place.run):
        for args in (*STAGES.values(), ("status", "run")):
            assert_one_line(invoke(*args), "manifest.json")


def test_a_manifest_that_goes_in_a_circle_is_refused(place):
    document = json.loads((place.run / "manifest.json").read_text())
    document["stages"]["ingest"]["reads"]["report.txt"] = "0" * 64
    (place.run / "manifest.json").write_text(json.dumps(document))
    assert_one_line(invoke(*STAGES["cluster"]), "manifest.json is damaged")


@pytest.mark.parametrize("name", ["../ratings.csv", "/etc/hostname", "..", "a/b", ".ssh"])
def test_a_manifest_never_leads_out_of_the_directory(place, name):
    document = json.loads((place.run / "manifest.json").read_text())
    document["stages"]["ingest"]["writes"][name] = "0" * 64
    (place.run / "manifest.json").write_text(json.dumps(document))
    assert_one_line(invoke(*STAGES["ingest"]), "is damaged")
    assert place.ratings.exists()


@pytest.mark.parametrize("name", ["matrix.npz", "rejects.csv", "items.csv"])
def test_a_file_of_the_users_is_never_written_over(place, name):
    shutil.rmtree(place.run)
    place.run.mkdir()
    (place.run / name).write_text("mine")
    with left_alone(place.run):
        assert_one_line(invoke(*STAGES["ingest"]), f"{name} is in the way")


def test_other_files_in_the_directory_are_left_alone(place):
    (place.run / "notes.txt").write_text("mine")
    (place.run / ".pending").mkdir()
    (place.run / ".pending" / "mine").touch()
    for args in STAGES.values():
        ok(*args)
    assert (place.run / "notes.txt").read_text() == "mine"
    assert (place.run / ".pending" / "mine").exists()


# The manifest and status


def test_the_manifest_knows_no_clock_host_or_place(place):
    import getpass
    import platform

    text = (place.run / "manifest.json").read_text()
    for secret in (str(place.folder), str(ROOT), platform.node(), getpass.getuser(), '"/'):
        assert secret not in text
    words = {word for word in text.split('"') if len(word) != 64}  # digests may hold any digits
    assert not any(str(time.localtime().tm_year) in word for word in words)


def test_status_in_words(place):
    lines = ok("status", "run").stdout.splitlines()
    assert lines[0].split() == ["stage", "state", "choices"]
    assert [line.split()[:2] for line in lines[1:]] == [[name, "fresh"] for name in STAGES]
    assert "n_components 2, n_clusters 3, seed 0" in lines[4]
    (place.run / "pca.joblib").unlink()
    last = ok("status", "run").stdout.splitlines()[-1]
    assert last.startswith(
        "explore-pca is altered: pca.joblib was altered or removed. Run: segcli "
    )


def test_a_choice_of_nothing_is_a_choice(place):
    ok(*STAGES["cluster"], "--min-membership", "0")
    assert "min_membership 0.0" in ok("status", "run").stdout


def test_status_as_json(place):
    document = json.loads(ok("status", "run", "--json").stdout)
    assert [entry["stage"] for entry in document["stages"]] == list(STAGES)
    parameters = document["stages"][3]["parameters"]
    assert {name: value for name, value in parameters.items() if value is not None} == {
        "n_components": 2,
        "n_clusters": 3,
    }
    assert document["stages"][3]["seed"] == 0
    assert "segments.csv" in document["stages"][3]["writes"]


def test_status_of_an_empty_folder_says_that_nothing_ran(tmp_path):
    assert set(states(tmp_path).values()) == {"not run"}
    assert ok("status", tmp_path).stdout.splitlines()[-1].split() == ["report", "not", "run"]
    assert list(tmp_path.iterdir()) == []


# A stage that dies


class Crash(BaseException):
    """Stands for the end of the process: nothing catches it."""


def test_a_stage_that_raises_leaves_everything_as_it_was(place, monkeypatch):
    monkeypatch.setattr(Text, "write", lambda *_: (_ for _ in ()).throw(MemoryError))
    with left_alone(place.run):
        assert_one_line(invoke(*STAGES["report"][:-1], "5"), "memory", "This stage changed nothing")


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt, ValueError])
def test_whatever_is_raised_nothing_is_left_over(tmp_path, error):
    run = tmp_path / "a" / "b"
    with pytest.raises(error), open_stage(run, "ingest", {}) as opened:  # noqa: PT012
        opened.save(catalogue.REJECTS, catalogue_table())
        (run / scratch.FOLDER).mkdir()
        raise error
    assert list(tmp_path.iterdir()) == []


def catalogue_table():
    return {"file": ["f"], "row": [1], "reason": ["r"], "text": ["t"]}


STEPS = ("mkdir", "rename", "replace", "unlink", "rmdir")


def crash_at(monkeypatch, step):
    """Let the process die just before the ``step``-th change that a commit makes to the disk."""
    count = 0

    def counted(function):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                raise Crash
            return function(*args, **kwargs)

        return call

    for name in STEPS:
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(shutil, "rmtree", dead_after_a_crash(lambda: count >= step, shutil.rmtree))


def dead_after_a_crash(crashed, function):
    """A dead process cleans nothing up."""

    def call(*args, **kwargs):
        if not crashed():
            function(*args, **kwargs)

    return call


def test_a_crash_between_any_two_steps_of_a_commit(place):
    """Afterwards the old or the new is whole; never a mixture."""
    old = digests(place.run)
    shutil.copytree(place.run, "new")
    args = [*STAGES["cluster"][2:-1], "2"]
    ok("cluster", "new", *args)
    new = digests(Path("new"))
    shutil.copytree(place.run, "old")
    outcomes = []
    for step in range(1, 60):
        shutil.rmtree("run")
        shutil.copytree("old", "run")
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, step)
            try:
                ok("cluster", "run", *args)
            except Crash:
                pass
            else:
                break
        states(place.run)  # any command mends what it finds
        found = digests(place.run)
        assert found in (old, new), step
        outcomes.append("new" if found == new else "old")
        assert_whole(place.run)
        stage.recover(place.run)
        assert digests(place.run) == found
    else:
        pytest.fail("the command never ended well")
    assert outcomes == sorted(outcomes, reverse=True)  # first old, from one instant on new
    assert {"old", "new"} == set(outcomes)


def test_every_file_is_on_the_disk_before_any_takes_its_place(place, monkeypatch):
    on_disk, rename, fsync = set(), Path.rename, os.fsync

    def noted(file):
        assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR  # Windows asks for it
        on_disk.add(os.fstat(file).st_ino)
        fsync(file)

    def checked(folder, target):
        names = {path.name for path in folder.iterdir() if path.stat().st_ino in on_disk}
        assert names == {path.name for path in folder.iterdir()} > {"manifest.json"}
        return rename(folder, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", checked)
    ok(*STAGES["cluster"])
    assert on_disk


def leave_a_commit(run):
    """Leave of a stage that died what it had committed, not yet in its place; ``new`` has it whole."""
    shutil.copytree(run, "new")
    ok("cluster", "new", *STAGES["cluster"][2:-1], "2")
    (run / COMMIT).mkdir()
    for name in (
        "segments.csv",
        "segmentation.joblib",
        "projected.npz",
        "clustering.json",
        "manifest.json",
    ):
        shutil.copy(Path("new") / name, run / COMMIT / name)


def test_the_next_stage_finishes_a_commit(place):
    leave_a_commit(place.run)
    for run in ("run", "new"):
        ok("validate", run)
    assert digests(place.run) == digests(Path("new"))


def test_an_interrupted_recovery_is_taken_up_again(place):
    """A second crash, while the next command finishes the first one's commit."""
    leave_a_commit(place.run)
    new = digests(Path("new"))
    for step in range(1, 12):
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
            crash_at(patch, step)
            stage.recover(place.run)
            break
    assert digests(place.run) == new


def test_a_file_that_cannot_be_replaced_yet_is_replaced_later(place, monkeypatch):
    """On Windows, one that another program has open."""
    leave_a_commit(place.run)
    new = digests(Path("new"))
    shutil.rmtree(place.run / COMMIT)
    replace = Path.replace

    def refused(path, target):
        if path.name == "segments.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refused)
        for _ in range(2):
            line = assert_one_line(invoke("cluster", "run", *STAGES["cluster"][2:-1], "2"))
            assert "run/segments.csv cannot be replaced: Permission denied. Close" in line
    ok("status", "run")
    assert digests(place.run) == new


def test_recover_is_idempotent_and_drops_what_was_left(place):
    before = digests(place.run)
    (place.run / PENDING).mkdir()
    (place.run / PENDING / "segments.csv").write_text("half")
    (place.run / scratch.FOLDER / "blocks").mkdir(parents=True)
    for _ in range(2):
        stage.recover(place.run)
        assert digests(place.run) == before


KILLED = """
import os, signal, sys, threading, time
delay = float(sys.argv[1])
from segcli import cli
from segcli.stages import cluster
import segcli.artifacts.stage as stage
threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
while True:
    for k in ("2", "3"):
        cli.main(["cluster", "run", "--n-components", "2", "--n-clusters", k], standalone_mode=False)
"""


@pytest.mark.parametrize("delay", [0.013, 0.111, 0.137, 0.242])
def test_kill_9_at_a_moment_of_many(place, delay):
    """The process runs cluster over and over with two k, and is killed somewhere in it."""
    runs = {}
    for k in ("2", "3"):
        ok(*STAGES["cluster"][:-1], k)
        runs[k] = digests(place.run)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(delay)],
        cwd=place.folder,
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    states(place.run)
    assert digests(place.run) in runs.values()
    assert_whole(place.run)


# A disk or a folder that will not take it


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("where", ["write", "commit"])
def test_a_full_disk_is_one_line_and_changes_nothing(place, monkeypatch, name, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "commit":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(manifest, "write", full)
    with left_alone(place.run):
        assert_one_line(invoke(*STAGES[name]), "run cannot hold more: No space left on device")


@as_root
@pytest.mark.parametrize(("name", "spare"), [("ingest", 4), ("report", 20), ("explore-k", 12)])
def test_a_disk_that_is_really_full(place, name, spare):
    disk = place.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this place does not let us mount a small disk")
    try:
        shutil.copytree(place.run, disk / "run")
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"\0" * 4096)
        os.truncate(disk / "filler", max(0, (disk / "filler").stat().st_size - spare * 1024))
        args = [str(disk / arg) if arg == "run" else arg for arg in STAGES[name]]
        with left_alone(disk / "run"):
            assert_one_line(invoke(*args), "cannot hold more", "This stage changed nothing")
        (disk / "filler").unlink()
        ok(*args)
    finally:
        subprocess.run(["umount", str(disk)], capture_output=True, check=True)


def without_privilege():
    """Return what to put before a command so that permissions hold for root too."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may write anywhere, and there is no setpriv to give that up")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search", "--"]


def test_a_directory_that_may_not_be_written_to(place):
    prefix = without_privilege()
    with left_alone(place.folder):
        place.run.chmod(0o555)
        place.folder.chmod(0o555)
        try:
            for args in (STAGES["ingest"], STAGES["cluster"]):
                found = process(*args, cwd=place.folder, prefix=prefix)
                assert_one_line(found, "run cannot be written to")
            found = process("ingest", "ratings.csv", "another/run", cwd=place.folder, prefix=prefix)
            assert_one_line(found, "another/run cannot be made: Permission denied")
            found = process("status", "run", cwd=place.folder, prefix=prefix)
            assert (found.returncode, found.stderr) == (0, "")
        finally:
            place.folder.chmod(0o755)
            place.run.chmod(0o755)


def test_parents_are_made_and_removed_again_if_ingest_fails(place):
    ok("ingest", "ratings.csv", "deep/er/run")
    assert Path("deep/er/run/matrix.npz").exists()
    Path("empty.csv").touch()
    Path("kept").mkdir()
    assert_one_line(invoke("ingest", "empty.csv", "other/deep/run"))
    assert_one_line(invoke("ingest", "empty.csv", "kept/run"))
    assert_one_line(invoke("ingest", "empty.csv", "kept"))
    assert not Path("other").exists()
    assert list(Path("kept").iterdir()) == []


def test_a_second_command_at_once_is_refused(place):
    before = digests(place.run)
    handle = os.open(place.run, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for args in STAGES.values():
            assert_one_line(invoke(*args), "run is in use by another segcli command")
        args = ("run", "ratings.csv", "run", "--n-components", "2", "--n-clusters", "3")
        assert_one_line(invoke(*args), "run is in use by another segcli command")
        assert "fresh" in ok("status", "run").stdout
        assert digests(place.run) == before
    finally:
        os.close(handle)
    ok(*STAGES["cluster"])


def test_a_command_of_all_stages_keeps_others_out_between_them(tmp_path):
    with hold(tmp_path, ["ingest", "report"]):
        for _ in range(2):
            with open_stage(tmp_path, "ingest", {}) as stage:
                stage.save(catalogue.REJECTS, catalogue_table())
                with (
                    pytest.raises(RunDirectoryError, match="in use"),
                    open_stage(tmp_path, "x", {}),
                ):
                    pass
            found = process("report", tmp_path, cwd=tmp_path)
            assert_one_line(found, "is in use by another segcli command")
    assert_one_line(process("report", tmp_path, cwd=tmp_path), "is missing")


def test_a_file_in_the_way_of_any_stage_is_found_before_the_first(place):
    Path("new").mkdir()
    Path("new/report.html").write_text("mine")
    args = ("run", "ratings.csv", "new", "--n-components", "2", "--n-clusters", "3")
    assert_one_line(invoke(*args), "new/report.html is in the way: segcli did not write it")
    assert [path.name for path in Path("new").iterdir()] == ["report.html"]


def test_the_command_to_run_again_says_that_the_folder_is_not_known(place):
    Path("elsewhere").mkdir()
    Path("ratings.csv").rename("elsewhere/ratings.csv")
    (place.run / "matrix.npz").unlink()
    assert "Run: segcli ingest FOLDER/ratings.csv run" in ok("status", "run").stdout


@pytest.mark.parametrize("name", ["-r.csv", "two  spaces.csv", "it's $5.csv"])
def test_the_command_to_run_again_names_the_file_as_it_is(place, name):
    Path("ratings.csv").rename(name)
    ok("ingest", "--", name, "run")
    (place.run / "matrix.npz").unlink()
    ok(*command_in(assert_one_line(invoke("explore-pca", "run"))))
    assert states("run")["ingest"] == "fresh"


def test_the_command_to_run_again_is_quoted_as_windows_reads_it(place, monkeypatch):
    shutil.move("run", "my run")
    monkeypatch.setattr(sys, "platform", "win32")
    command = manifest.command(
        "cluster", Path("my run"), manifest.read(Path("my run")).stages["cluster"]
    )
    assert command.startswith('segcli cluster "my run" --n-components 2 ')
    assert manifest.command("report", Path("runs\\shop"), None) == "segcli report runs\\shop"


def test_two_open_stages_do_not_meet(tmp_path):
    with open_stage(tmp_path, "ingest", {}) as first:
        first.save(catalogue.REJECTS, catalogue_table())
        with (
            pytest.raises(RunDirectoryError, match="in use"),
            open_stage(tmp_path, "ingest", {}),
        ):
            pass
    assert_whole(tmp_path)


def test_an_artifact_of_another_stage_cannot_be_saved(tmp_path):
    with (
        pytest.raises(ValueError, match=r"rejects\.csv belongs to ingest, not to report"),
        open_stage(tmp_path, "report", {}) as opened,
    ):
        opened.save(catalogue.REJECTS, catalogue_table())
    assert list(tmp_path.iterdir()) == []
