"""What holds for every module of `helpers`."""

import importlib
import inspect
import pkgutil

import pytest

import helpers

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(helpers.__path__, "helpers.")
    if not module.ispkg
]


def own(module):
    """Public functions and classes that are defined in `module`."""
    everything = inspect.getmembers(module, lambda one: inspect.isfunction(one) or inspect.isclass(one))
    return {name: one for name, one in everything if one.__module__ == module.__name__ and not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_public_names_are_listed_exist_and_have_docstrings(module):
    assert module.__doc__
    assert set(own(module)) <= set(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        public = getattr(module, name)
        assert not callable(public) or inspect.getdoc(public), name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_docstring_is_the_one_that_dataclass_writes(module):
    for name, one in own(module).items():
        assert not one.__doc__.startswith(f"{name}("), name
