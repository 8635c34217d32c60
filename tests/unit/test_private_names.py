"""Private names of dependencies that src uses, each tried alone, and the bounds that keep them as they are.

Where one of these fails after `make lock`, the new release has moved what native_kernel.py stands on: mend that first.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core import callconv, datamodel
from packaging.requirements import Requirement
from packaging.version import Version

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from lock_file import ROOT, RUNNING, read_lock

USED = {"_final_module", "_get_compiled_object"}
"""Private attributes of numba's. Its private option `_nrt` is a word, which no search finds."""
PUBLIC_ALL_THE_SAME = {"_exit", "_replace"}
"""os._exit and the method of named tuples are documented."""
ARRAY = numba.types.Array(numba.types.float64, 1, "C")


def _touch(values: Any) -> None:
    values[0] = 1.0


def _compile(options: dict[str, Any]) -> Any:
    return next(iter(numba.njit([numba.void(ARRAY)], **options)(_touch).overloads.values()))


@pytest.fixture(scope="module")
def compiled() -> Any:
    return _compile({"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False})


@pytest.mark.parametrize("option", ["no_cpython_wrapper", "no_cfunc_wrapper", "_nrt"])
def test_numba_knows_the_option(option: str) -> None:
    assert _compile({option: False})
    with pytest.raises(KeyError, match="Unrecognized options"):
        _compile({f"{option}_of_old": False})


def test_numba_names_the_compiled_function(compiled: Any) -> None:
    assert "_touch" in compiled.fndesc.llvm_func_name


def test_numbas_final_module_lists_what_the_code_calls(compiled: Any) -> None:
    defined = [function.name for function in compiled.library._final_module.functions if not function.is_declaration]
    assert compiled.fndesc.llvm_func_name in defined


def test_numba_gives_the_object_code(compiled: Any) -> None:
    assert bytes(compiled.library._get_compiled_object()).startswith(b"\x7fELF")


def test_numba_passes_an_array_in_the_parts_and_the_order_that_the_kernels_unpack() -> None:
    model: Any = vars(datamodel)["default_manager"][ARRAY]
    assert model._fields == ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides")


def test_numba_returns_the_codes_that_the_kernels_take_for_success() -> None:
    assert (callconv.RETCODE_OK.constant, callconv.RETCODE_NONE.constant) == (0, -2)


def test_every_private_name_that_src_uses_is_ours_or_named_here() -> None:
    trees = [ast.parse(path.read_bytes()) for path in (ROOT / "src").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    ours = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    ours |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    ours |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    private = {name for name in used if re.match(r"_[^_]", name)}
    assert private - ours - PUBLIC_ALL_THE_SAME == USED


def test_no_private_module_is_imported() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    imported = set(re.findall(r"^ *(?:from|import) +([\w.]+)", source, re.MULTILINE)) - {"__future__"}
    assert "numba" in imported
    assert not [name for name in imported if name.startswith("_") or "._" in name or name.startswith("zarr.core")]


@pytest.mark.parametrize("package", ["numba", "llvmlite"])
def test_a_package_with_private_names_is_bounded_by_the_next_minor_release(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (asked,) = (one for one in map(Requirement, project["dependencies"]) if one.name == package)
    tested = max(Version(pin.version) for pin in read_lock(RUNNING) if pin.name == package)
    (bound,) = (part.version for part in asked.specifier if part.operator == "<")
    assert bound == f"{tested.major}.{tested.minor + 1}"
