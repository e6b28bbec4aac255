"""Nothing that is read is run: no pickles, no `eval`, no shell."""

from __future__ import annotations

import ast

import pytest

from .sources import ROOT

MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
CALLS = {"__import__", "compile", "eval", "exec"}
LOADERS = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
FILES = sorted(
    path for name in ("bridge", "backends", "spec", "examples", "plugins") for path in (ROOT / name).rglob("*.py")
)


def dangers(tree: ast.AST) -> list[str]:
    """What in a module could run what it reads."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            found += [f"{node.lineno}: import of {name}" for name in names if name.partition(".")[0] in MODULES]
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {reason}" for reason in _of_call(node)]
    return found


def _of_call(node: ast.Call) -> list[str]:
    name, options = ast.unparse(node.func), {each.arg: each.value for each in node.keywords}
    reasons = [name] if name in {*CALLS, "os.system", "os.popen", "yaml.load"} else []
    if name in LOADERS:
        option, value = LOADERS[name]
        given = options.get(option)
        if not (isinstance(given, ast.Constant) and given.value is value):
            reasons.append(f"{name} without {option}={value}")
    if any(
        arg == "shell" and not (isinstance(value, ast.Constant) and value.value is False)
        for arg, value in options.items()
    ):
        reasons.append(f"{name} through a shell")
    return reasons


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_data_is_no_code(path):
    assert dangers(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
    ],
)
def test_the_rule_sees_what_it_forbids(code):
    assert len(dangers(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code", ["model.eval()", "re.compile(x)", "np.load(p, allow_pickle=False)", "torch.load(p, weights_only=True)"]
)
def test_the_rule_lets_pass_what_is_harmless(code):
    assert dangers(ast.parse(code)) == []
