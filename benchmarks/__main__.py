"""Run every benchmark of this folder, or those named: ``python -m benchmarks [NAME ...]``."""

import importlib
import pkgutil
import sys

import benchmarks


def main(named: list[str]) -> int:
    """Print each benchmark's figures, one line each; 2 if a name is not a benchmark."""
    known = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    unknown = [name for name in named if name not in known]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}: accepted are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in named or known:
        for line in importlib.import_module(f"benchmarks.{name}").figures():
            print(f"{name}: {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
