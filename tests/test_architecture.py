"""Who may import whom, read from the source itself."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "candid"
GROUND = {"types", "errors", "arrays", "extras", "files"}
CAPABILITIES = {"calibrate", "detect", "noise", "tune", "groups", "generative", "segment", "engine"}
RIM = {"metrics", "models", "data", "report"}
MAY_IMPORT = {
    "errors": set(),
    "types": {"errors"},
    "arrays": {"types", "errors"},
    "extras": {"errors"},
    "files": {"errors"},
    **dict.fromkeys(RIM, GROUND),
    **{room: GROUND | {"metrics"} for room in CAPABILITIES},
    "engine": GROUND | {"metrics", "segment"},
    "workflows": GROUND | RIM | CAPABILITIES,
    "cli": GROUND | {"workflows", "report", "data", "models"},
    "web": GROUND | {"workflows", "report", "data", "models"},
    "__init__": set(),
    "__main__": {"cli"},
}
TORCH_ROOMS = {"models", "tune", "segment", "arrays"}  # arrays: inside one function, see below
FILES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path):
    here = room(path)
    for name in imports(path):
        if name.startswith("candid."):
            target = name.split(".")[1]
            if target == "__version__":
                continue
            assert target == here or target in MAY_IMPORT[here], f"{here} may not import {target}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_torch_stays_in_its_rooms(path):
    if room(path) not in TORCH_ROOMS:
        frameworks = {name.split(".")[0] for name in imports(path)} & {"torch", "transformers", "open_clip", "timm"}
        assert not frameworks, f"{path.name} imports {frameworks}"


def test_arrays_knows_torch_in_one_function_only():
    tree = ast.parse((SOURCE / "arrays.py").read_text())
    assert not [node for node in tree.body if isinstance(node, ast.Import) and "torch" in ast.unparse(node)]
    knows = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and "torch" in ast.unparse(node.body)]
    assert knows == ["on_device"]


def test_no_pickle_anywhere():
    for path in FILES:
        text = path.read_text()
        assert "pickle" not in {name.split(".")[0] for name in imports(path)}, path
        assert "torch.load(" not in text or "weights_only=True" in text, path
        assert "trust_remote_code=True" not in text, path
