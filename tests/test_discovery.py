"""Extension points: modules of a package and entry points of installed packages, planted in a folder and found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dualstream import discovery
from dualstream.discovery import DiscoveryError, NamedObjects, Registry, UnknownNameError
from tests.outside import write_package

GROUP = "planted.things"
HOME = "planted_home"
REGISTERS = """
from planted_home._registry import THINGS

THINGS.add({name!r}, {value}, __name__)
"""
REGISTRY = """
    from dualstream.discovery import Registry

    THINGS = Registry("thing", package="planted_home", group="planted.things")
"""


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look for packages in `tmp_path` too; forget after the test what was imported from there."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(discovery, "_LOADED", {})
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in (HOME, "acme", "other")]:
        del sys.modules[name]


def plant_home(folder: Path, **modules: str) -> Registry[int]:
    write_package(folder, HOME, {"_registry": REGISTRY, **modules})
    sys.path_importer_cache.clear()
    import importlib

    things: Registry[int] = importlib.import_module(f"{HOME}._registry").THINGS
    return things


def plant(folder: Path, name: str, source: str, points: Mapping[str, str]) -> None:
    write_package(folder, name, {"thing": source}, {GROUP: points})


def registers(name: str, value: int) -> str:
    return REGISTERS.format(name=name, value=value)


def test_modules_and_entry_points_register(tmp_path: Path) -> None:
    things = plant_home(tmp_path, b=registers("second", 2), a=registers("first", 1))
    plant(tmp_path, "acme", registers("outside", 3), {"anything": "acme.thing"})
    assert things.names() == ["first", "outside", "second"]
    assert things.entries() == [1, 2, 3]  # by module, ours first
    assert things.get("outside") == 3 and things.find("none") is None
    assert "planted_home._registry" in sys.modules  # imported by the modules that register, not looked for


def test_another_process_finds_what_modules_and_entry_points_register_and_nothing_else(tmp_path: Path) -> None:
    things = plant_home(tmp_path, a=registers("ours", 1))
    plant(tmp_path, "acme", registers("outside", 2), {"x": "acme.thing"})
    things.add("mine", 3, __name__)
    assert {name: things.is_found_anew(name) for name in things.names()} == {
        "mine": False,
        "ours": True,
        "outside": True,
    }


def test_names_that_stand_first_are_listed_first_where_they_are_there(tmp_path: Path) -> None:
    things = plant_home(tmp_path, **{one: registers(one, 0) for one in ("a", "b", "c", "d")})
    things.first = ("c", "gone", "b")
    assert things.names() == ["c", "b", "a", "d"]
    with pytest.raises(UnknownNameError, match=r"there are: c, b, a, d$"):
        things.get("gone")


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    things = plant_home(tmp_path, a=registers("first", 1), b=registers("second", 2))
    with pytest.raises(UnknownNameError, match=r"^no thing is called 'third'; there are: first, second$"):
        things.get("third")


def test_a_name_that_is_nearly_one_says_which(tmp_path: Path) -> None:
    things = plant_home(tmp_path, a=registers("concat", 1), b=registers("gated", 2))
    with pytest.raises(UnknownNameError, match=r"'conact' \(did you mean concat\?\); there are: concat, gated$"):
        things.get("conact")


def test_a_name_given_twice_names_both(tmp_path: Path) -> None:
    things = plant_home(tmp_path, a=registers("one", 1))
    plant(tmp_path, "acme", registers("one", 2), {"x": "acme.thing"})
    with pytest.raises(
        DiscoveryError,
        match=r"entry point x of acme 1.0 .*thing 'one' is registered twice: by planted_home.a and by acme.thing",
    ):
        things.names()


def test_what_lacks_a_package_is_left_out_and_named(tmp_path: Path) -> None:
    things = plant_home(tmp_path, a=registers("one", 1), b="import not_installed_one\n" + registers("two", 2))
    plant(tmp_path, "acme", "import not_installed_two.part\n", {"x": "acme.thing"})
    assert things.names() == ["one"]
    with pytest.raises(UnknownNameError) as caught:
        things.get("two")
    assert str(caught.value) == (
        "no thing is called 'two'; there are: one (left out: planted_home.b needs not_installed_one, "
        "entry point x of acme 1.0 needs not_installed_two)"
    )


@pytest.mark.parametrize(
    ("source", "value", "says"),
    [
        ("", "acme.absent", r"entry point x of acme 1.0 can't be loaded: No module named 'acme.absent'"),
        ("1 / 0", "acme.thing", r"can't be loaded: ZeroDivisionError: division by zero; repair or uninstall it"),
        ("", "acme.thing:absent", r"can't be loaded: AttributeError: .*absent"),
        ("import dualstream.no_such", "acme.thing", r"can't be loaded: No module named 'dualstream.no_such'"),
    ],
)
def test_a_broken_entry_point_names_its_package(tmp_path: Path, source: str, value: str, says: str) -> None:
    things = plant_home(tmp_path)
    plant(tmp_path, "acme", source, {"x": value})
    with pytest.raises(DiscoveryError, match=says):
        things.names()


def test_a_module_that_failed_half_way_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    things = plant_home(tmp_path, a=registers("one", 1) + "import json\n1 / len(json.planted)\n")
    import json

    monkeypatch.setattr(json, "planted", [], raising=False)
    for _ in range(2):  # not "registered twice" the second time
        with pytest.raises(ZeroDivisionError):
            things.names()
    monkeypatch.setattr(json, "planted", [1])
    assert things.names() == ["one"]


def named() -> NamedObjects:
    return NamedObjects("thing", package=HOME, group=GROUP, attribute="rows")


ROWS = '''"""{doc}"""
def rows(root):
    """Return {value}."""
    return {value}
'''


def test_objects_are_called_as_their_modules_and_entry_points(tmp_path: Path) -> None:
    plant_home(tmp_path, a=ROWS.format(doc="The first.\n\nMore.", value=1))
    source = ROWS.format(doc="Outside.", value=2) + "def other(root):\n    return 3\n"
    plant(tmp_path, "acme", source, {"b": "acme.thing", "c": "acme.thing:other"})
    assert named().names() == ["a", "b", "c"]
    assert f"{HOME}.a" not in sys.modules and "acme" not in sys.modules  # names alone import nothing
    assert [named().get(name)(None) for name in "abc"] == [1, 2, 3]
    assert [named().summary(name) for name in "abc"] == ["The first.", "Outside.", "Outside."]
    with pytest.raises(UnknownNameError, match="found no thing 'd'; there are a, b, c"):
        named().get("d")


def test_an_object_given_twice_names_both(tmp_path: Path) -> None:
    plant_home(tmp_path, a=ROWS.format(doc="Ours.", value=1), b=ROWS.format(doc="Ours.", value=2))
    plant(tmp_path, "acme", ROWS.format(doc="Theirs.", value=3), {"a": "acme.thing"})
    with pytest.raises(
        DiscoveryError, match=r"'a' is given twice: by planted_home.a and by entry point a of acme 1.0"
    ):
        named().get("a")
    assert named().get("b")(None) == 2  # the others go on


def test_an_object_that_can_not_be_had_says_why(tmp_path: Path) -> None:
    plant_home(tmp_path, c="import not_installed_two\n")
    plant(tmp_path, "acme", "import not_installed_one\n", {"a": "acme.thing"})
    plant(tmp_path, "other", "nothing = 1\n", {"b": "other.thing"})
    with pytest.raises(DiscoveryError, match=r"thing 'c': planted_home.c needs not_installed_two; install that"):
        named().get("c")
    with pytest.raises(DiscoveryError, match=r"thing 'a': entry point a of acme 1.0 needs not_installed_one"):
        named().get("a")
    with pytest.raises(DiscoveryError, match=r"entry point b of other 1.0 names other.thing, which has no rows"):
        named().get("b")


def test_origins_tell_where_outside_code_lies(tmp_path: Path) -> None:
    plant(tmp_path, "acme", "1 / 0", {"x": "acme.thing"})
    write_package(tmp_path, "other", {}, {GROUP: {"y": "gone.thing"}})
    assert discovery.origins(GROUP) == [
        ("entry point x of acme 1.0 = acme.thing", tmp_path / "acme"),
        ("entry point y of other 1.0 = gone.thing", None),
    ]
