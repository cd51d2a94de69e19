"""The policy file: what is in force while people change it."""

import os
from pathlib import Path

import pytest

from encryption_service.errors import SettingsError
from encryption_service.policy.policy import DEFAULT_POLICY, Policy
from encryption_service.policy.policy_file import PolicyFile
from tests.support.waiting import wait_for

FROZEN, THAWED = "version: 1\nfreeze: true\n", "version: 1\nsuites: [xwing]\n"


class Told:
    """What a policy file told its listener."""

    def __init__(self) -> None:
        self.policies: list[Policy] = []
        self.fails = False

    def __call__(self, policy: Policy) -> None:
        if self.fails:
            raise RuntimeError("the writer is halted")
        self.policies.append(policy)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(THAWED)
    return path


@pytest.fixture
def file(path: Path, told: Told) -> PolicyFile:
    """Loaded and not started: a test looks by itself."""
    file = PolicyFile(path, told)
    file.load()
    return file


def look(file: PolicyFile, times: int = 2) -> None:
    for _ in range(times):
        file.look()


def test_without_a_file_the_default_is_in_force_for_ever(told: Told) -> None:
    """Nothing to look at, nothing to stop."""
    file = PolicyFile(None, told)
    assert file.load() == file.current == DEFAULT_POLICY
    file.start()
    file.stop()
    assert (file.fault, told.policies) == ("", [])


@pytest.mark.parametrize("text", [None, "version: 7\n"], ids=["no file", "a wrong file"])
def test_a_service_does_not_start_with_a_policy_that_is_not_usable(
    tmp_path: Path, told: Told, text: str | None
) -> None:
    """There is no last good one to keep."""
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match="GROUPSEAL_SERVICE_POLICY_FILE"):
        PolicyFile(path, told).load()


def test_a_change_takes_effect_by_itself(path: Path, told: Told) -> None:
    """The thread sees it within a few looks and says so once."""
    file = PolicyFile(path, told, look_seconds=0.02)
    file.load()
    file.start()
    try:
        path.write_text(FROZEN)
        wait_for(lambda: told.policies, 10, "the new policy")
        assert file.current.freeze
    finally:
        file.stop()
    assert [policy.freeze for policy in told.policies] == [True]


def test_a_file_that_is_being_written_is_not_taken(file: PolicyFile, path: Path) -> None:
    """Half of a file may be a weaker policy: a content counts once it stays."""
    path.write_text("version: 1\n")
    look(file, 1)
    assert file.current.suites is not None
    path.write_text(FROZEN)
    look(file, 1)
    assert not file.current.freeze
    look(file, 1)
    assert file.current.freeze


def test_a_wrong_file_leaves_the_last_good_policy_in_force(
    file: PolicyFile, path: Path, told: Told
) -> None:
    """The fault names line, field and remedy, and goes away with the cause."""
    good = file.current
    path.write_text("version: 1\nfreez: true\n")
    look(file, 4)
    assert file.current is good
    assert "line 2: freez: there is no such field" in file.fault
    assert str(path) in file.fault
    path.write_text(FROZEN)
    look(file)
    assert file.fault == ""
    assert [policy.freeze for policy in told.policies] == [True]


def test_a_file_that_vanished_leaves_the_last_good_policy_in_force(
    file: PolicyFile, path: Path
) -> None:
    """Deleting the policy does not lift it; putting it back clears the fault."""
    good = file.current
    path.unlink()
    look(file)
    assert file.current is good
    assert "No such file" in file.fault
    path.write_text(THAWED)
    look(file, 1)
    assert (file.current, file.fault) == (good, "")


@pytest.mark.parametrize("kind", ["folder", "pipe", "huge"])
def test_what_is_no_small_regular_file_is_a_fault(file: PolicyFile, path: Path, kind: str) -> None:
    """A pipe would hold the thread, a folder has no content, a huge file no end."""
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("#" * 300_000)
    look(file)
    assert file.fault


def test_going_back_to_the_file_in_force_clears_the_fault(file: PolicyFile, path: Path) -> None:
    """Whoever undoes a mistake is done at once."""
    path.write_text("nonsense")
    look(file)
    assert file.fault
    path.write_text(THAWED)
    look(file, 1)
    assert file.fault == ""


def test_a_config_map_swaps_a_symbolic_link(tmp_path: Path, told: Told) -> None:
    """As kubelet does it: `policy.yaml -> ..data/policy.yaml`, and `..data` is renamed over."""
    for name, text in (("..1", THAWED), ("..2", FROZEN)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "policy.yaml"
    path.symlink_to("..data/policy.yaml")
    file = PolicyFile(path, told)
    file.load()
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    look(file)
    assert file.current.freeze


def test_a_listener_that_failed_is_told_again(file: PolicyFile, path: Path, told: Told) -> None:
    """A change is not lost because it could not be recorded at that moment."""
    told.fails = True
    path.write_text(FROZEN)
    look(file, 3)
    assert file.current.freeze
    told.fails = False
    look(file, 3)
    assert [policy.freeze for policy in told.policies] == [True]


def test_another_way_to_write_the_same_policy_is_no_news(
    file: PolicyFile, path: Path, told: Told
) -> None:
    """A comment changes nothing that the ledger would have to say."""
    path.write_text("# reviewed\n" + THAWED)
    look(file, 3)
    assert (file.fault, told.policies) == ("", [])
