"""What only an extra of the package brings: asked for where it is used, named in one sentence where it is missing."""

from importlib.util import find_spec


def need(extra: str, *modules: str) -> None:
    """Call it just before the import of `modules`, top-level names, that the package alone does not bring.

    Raises:
        ImportError: one of them is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            install = f"pip install 'gradsurgery[{extra}]'"
            raise ImportError(f"`{module}` must be installed, found no such module: {install}.")
