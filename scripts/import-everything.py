"""Import every module of the installed package: what a wheel left out, or what needs a test's package, fails here."""

import importlib
import pkgutil
import sys

import waitline

WANTED = {"waitline.bridge.config", "waitline.api.app", "waitline.media.table", "waitline.cli"}

# migrations are run by Alembic, in a context of its making
names = [module.name for module in pkgutil.walk_packages(waitline.__path__, "waitline.") if ".migrations." not in module.name]
for name in names:
    importlib.import_module(name)
sys.stderr.write(f"{len(names)} modules imported from {waitline.__path__[0]}\n")
if missing := WANTED - set(names):
    sys.exit(f"not in the package: {sorted(missing)}")
