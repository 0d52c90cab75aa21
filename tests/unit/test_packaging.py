"""How the package is put together: linked folders, one name per file."""

import collections
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import waitline

ROOT = Path(__file__).parents[2]


def modules():
    """Return all but migrations: those are run by Alembic, in a context of its making."""
    names = (module.name for module in pkgutil.walk_packages(waitline.__path__, "waitline."))
    return [name for name in names if ".migrations." not in name]


def test_no_file_is_loaded_under_two_names():
    for name in modules():
        importlib.import_module(name)
    names = collections.defaultdict(set)
    for name, module in list(sys.modules.items()):
        if (file := getattr(module, "__file__", None)) and name != "__main__":
            names[Path(file).resolve()].add(name)
    ours = {file: found for file, found in names.items() if file.is_relative_to(ROOT) and ".venv" not in file.parts}
    assert {file: found for file, found in ours.items() if len(found) > 1} == {}


@pytest.mark.parametrize("folder", ["bridge", "api", "media"])
def test_the_folders_are_linked_relatively(folder):
    link = ROOT / "waitline" / folder
    if not link.is_symlink():
        pytest.skip("not a checkout")
    assert link.readlink() == Path("..") / folder


def test_the_command_says_its_version():
    done = subprocess.run([sys.executable, "-m", "waitline", "version"], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (waitline.__version__, "")
