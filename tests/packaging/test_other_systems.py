"""macOS and Windows, as far as Linux can show it: modules that only POSIX has, and processes that cannot be forked."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What others import stays as it is: they know on which system they are.
SCRIPT = """
import importlib, pkgutil, sys

def every():
    found = set()
    for name in ("gradsurgery", "pipelines", "benchmarks"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, name + "."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                    found.add(module.name)
                except ModuleNotFoundError as error:  # of an extra that is not installed here
                    said[module.name] = error
    return found

said = {}
before = every()
ours = [name for name in sys.modules if name.partition(".")[0] in ("gradsurgery", "pipelines", "benchmarks")]
for name in ours:
    del sys.modules[name]
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "posix"):
    sys.modules[name] = None  # importing it raises ImportError
after = every()
assert after == before, {name: said[name] for name in before - after}
print(len(after))
"""


def test_no_module_imports_what_windows_has_not():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 250, "that is all of them"
