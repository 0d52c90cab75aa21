"""The parent of all processes imports the standard library only."""

import subprocess
import sys


def test_serve_imports_nothing_but_the_standard_library():
    script = (
        "import sys, waitline.__main__, waitline.supervisor\n"
        "ours = {'waitline', 'waitline.__main__', 'waitline.supervisor', 'waitline.clock'}\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - ours}\n"
        "assert 'asyncio' not in tops, 'asyncio'\n"
        "print(*sorted(top for top in tops if top not in sys.stdlib_module_names and not top.startswith('_')))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
    if done.returncode and "No module named 'waitline'" in done.stderr:  # -S: without site-packages an editable install is not found
        path = f"import sys; sys.path.insert(0, {str(__import__('pathlib').Path(__file__).parents[2])!r})\n"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", path + script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
