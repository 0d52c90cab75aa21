"""The parent of all processes imports the standard library only."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_serve_imports_nothing_but_the_standard_library():
    script = (
        "import sys, waitline.__main__, waitline.supervisor\n"
        "known = ('waitline.supervisor.', 'waitline.__main__.', 'waitline.clock.')\n"
        "ours = {name for name in sys.modules if (name + '.').startswith(known)}\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - ours - {'waitline'}}\n"
        "assert 'asyncio' not in tops, 'asyncio'\n"
        "assert len(ours) > 10, ours\n"
        "print(*sorted(top for top in tops if top not in sys.stdlib_module_names and not top.startswith('_')))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
    if done.returncode and "No module named 'waitline'" in done.stderr:  # -S: without site-packages an editable install is not found
        path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", path + script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
