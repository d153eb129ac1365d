"""Conventions that every module keeps."""

import ast
import importlib
import inspect
import pkgutil

import pytest

import segcli

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(segcli.__path__, "segcli.")
    if module.name != "segcli.__main__"
)


def public(module):
    """Return a module's own public functions and classes."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", ["segcli", *MODULES])
def test_everything_public_says_what_it_is(name):
    module = importlib.import_module(name)
    for label, thing in {name: module, **public(module)}.items():
        first = (thing.__doc__ or "").strip().partition("\n")[0]
        assert first.endswith("."), f"{name}: {label} begins with {first!r}"


@pytest.mark.parametrize("name", ["segcli", *MODULES])
def test_all_names_what_is_there(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    if listed is None:
        return
    assert len(listed) == len(set(listed))
    assert [one for one in listed if not hasattr(module, one)] == []


@pytest.mark.parametrize("name", ["segcli", *MODULES])
def test_packages_export_what_they_import_from_themselves(name):
    module = importlib.import_module(name)
    if not hasattr(module, "__path__") or not getattr(module, "__all__", None):
        return
    own = [
        label
        for label, thing in vars(module).items()
        if not label.startswith("_") and getattr(thing, "__module__", "").startswith(name + ".")
    ]
    assert sorted(own) == sorted(set(module.__all__) & set(own))


@pytest.mark.parametrize("name", MODULES)
def test_nobody_imports_pyplot(name):
    """It keeps figures alive and picks a window system."""
    tree = ast.parse(inspect.getsource(importlib.import_module(name)) or "")
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert not {one for one in imported if "pyplot" in one or "pylab" in one}
