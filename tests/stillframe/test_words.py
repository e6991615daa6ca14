"""Names, errors, states and settings: the words themselves."""

import inspect
import string
from datetime import UTC, datetime
from uuid import UUID

import pytest

from stillframe import errors
from stillframe.names import check_display_name, check_name, home_of, is_in_home, layer_path, made_up_name
from stillframe.settings import Settings
from stillframe.states import ENDED, JOB_MOVES, SNAPSHOT_MOVES, JobState, came_from

VM = UUID(int=1)
ALL_ERRORS = [
    one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.StillframeError)
]


@pytest.mark.parametrize("name", ["a", "before-upgrade", "2026.01.31_x", "A" * 64])
def test_a_plain_name_is_a_name(name: str) -> None:
    """Letters, digits, dot, dash and underscore, up to 64, are taken as they are."""
    assert check_name(name, "snapshot") == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("a" * 300, "it has 300 characters"),
        ("a/b", "it has the character '/'"),
        ("../../etc", "two dots in a row"),
        ("..", "two dots in a row"),
        ("-rf", "it begins with '-'"),
        ("it's", "it has the character"),
        ('say"', "it has the character"),
        ("nul\0", r"'\x00'"),
        ("스냅샷", "it has the character '스'"),
        ("a\n", "it has the character"),
        ("$(reboot)", "it has the character '$'"),
    ],
)
def test_a_name_that_cannot_be_says_why(name: str, why: str) -> None:
    """Whatever could mean something to a path, a shell or XML is refused with the very character."""
    with pytest.raises(errors.NameInvalid) as refused:
        check_name(name, "snapshot")

    assert why in refused.value.detail
    assert len(refused.value.detail) < 200
    assert refused.value.to_json()["code"] == "name.invalid"


def test_a_display_name_may_be_any_words() -> None:
    """Hangul typed in pieces and whole is one name, and blanks around it do not count."""
    assert check_display_name("  \u1109\u1173냅샷 1 ") == "스냅샷 1"


@pytest.mark.parametrize("text", ["", "   ", "a\0b", "a\x1b[2J", "x" * 256, "\ud800"])
def test_a_display_name_that_could_harm_is_refused(text: str) -> None:
    """Control characters, nothing at all and too much are refused."""
    with pytest.raises(errors.DisplayNameInvalid):
        check_display_name(text)


def test_paths_come_from_ids_alone() -> None:
    """A layer lies in the VM's own folder beside the image, named by target and job."""
    home = home_of("/images/web1.qcow2", VM)
    path = layer_path(home, "vda", UUID(int=2))

    assert path == f"/images/stillframe/{VM}/vda-{UUID(int=2)}.qcow2"
    assert is_in_home(path, VM)
    assert not is_in_home(path, UUID(int=3))


@pytest.mark.parametrize("target", ["", "../vda", "vda/x", "VDA", "v" * 17])
def test_a_strange_target_makes_no_path(target: str) -> None:
    """A target that is no disk's name raises before it becomes part of a path."""
    with pytest.raises(ValueError, match="not a disk target"):
        layer_path("/home", target, VM)


def test_a_made_up_name_is_a_name() -> None:
    """What is called by the time can be called that."""
    name = made_up_name("snapshot", datetime(2026, 1, 31, 8, 5, tzinfo=UTC), VM)

    assert check_name(name, "snapshot") == "snapshot-20260131-080500-0001"


@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda one: one.__name__)
def test_every_error_reads_as_one_sentence(error: type[errors.StillframeError]) -> None:
    """Filled with its context, an error is a plain sentence with a remedy, and no brace is left over."""
    template = error.__doc__ or ""
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    shown = error(**{name: f"<{name}>" for name in names}).to_json()

    assert not set("{}") & set(shown["detail"] + shown["remedy"])
    assert shown["remedy"].endswith((".", ";"))
    assert set(shown["evidence"]) == names


def test_codes_are_unique_and_stable_in_form() -> None:
    """No two errors share a code, and each is small words with dots."""
    codes = [one.code for one in ALL_ERRORS if one not in (errors.LostLease,)]

    assert len(codes) == len(set(codes))
    assert all(set(code) <= set(string.ascii_lowercase + "._") for code in codes)


def test_evidence_is_plain_json() -> None:
    """Whatever an error is raised with can be kept in a row."""
    shown = errors.VmBusy(vm="web1", detail="x", at=VM, names={"b"}, more={1: (VM,)}).to_json()

    assert shown["evidence"] == {
        "vm": "web1",
        "detail": "x",
        "at": str(VM),
        "names": ["b"],
        "more": {"1": [str(VM)]},
    }


def test_every_state_has_its_moves() -> None:
    """The tables name every state, and only states that exist may follow."""
    assert set(JOB_MOVES) == set(JobState)
    assert all(moves <= set(SNAPSHOT_MOVES) for moves in SNAPSHOT_MOVES.values())
    assert JobState.STUCK not in ENDED
    assert came_from(JobState.SUCCEEDED) == {JobState.RUNNING, JobState.STUCK}


def test_settings_hide_their_secrets() -> None:
    """Neither a key nor an address with a password shows up where settings are printed."""
    shown = repr(
        Settings.from_env({"STILLFRAME_KEY": "hush", "STILLFRAME_DATABASE_URL": "postgresql://u:hush@h/d"})
    )

    assert "hush" not in shown


def test_a_wrong_number_names_its_variable() -> None:
    """A setting that cannot be read says which one it is."""
    with pytest.raises(ValueError, match="STILLFRAME_LEASE_S: 'soon' is not a number"):
        Settings.from_env({"STILLFRAME_LEASE_S": "soon"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *[("FREEZE_BUDGET_S", said) for said in ("inf", "nan", "0", "601")],
        *[("LEASE_S", "4"), ("MAX_DEATHS", "-1"), ("CHAIN_LIMIT", "1"), ("VM_GONE_S", "nan")],
    ],
)
def test_a_number_that_makes_no_sense_names_its_variable(name: str, said: str) -> None:
    """A budget that never ends would leave a guest frozen for ever: nothing starts with what is out of its range."""
    with pytest.raises(ValueError, match=f"STILLFRAME_{name}: '{said}' is not within"):
        Settings.from_env({f"STILLFRAME_{name}": said})


def test_a_heartbeat_comes_twice_a_lease() -> None:
    """One that is slower than that would lose every job it has."""
    with pytest.raises(ValueError, match="STILLFRAME_HEARTBEAT_S: 15 is not below STILLFRAME_LEASE_S / 2"):
        Settings.from_env({"STILLFRAME_HEARTBEAT_S": "15"})


def test_a_flag_is_yes_or_no() -> None:
    """What is neither names its variable."""
    assert Settings.from_env({"STILLFRAME_PAUSE_FOR_INTERNAL_DELETE": "Yes"}).pause_for_internal_delete
    assert not Settings.from_env({"STILLFRAME_PAUSE_FOR_INTERNAL_DELETE": "0"}).pause_for_internal_delete
    with pytest.raises(ValueError, match="STILLFRAME_PAUSE_FOR_INTERNAL_DELETE: 'maybe' is not yes or no"):
        Settings.from_env({"STILLFRAME_PAUSE_FOR_INTERNAL_DELETE": "maybe"})
