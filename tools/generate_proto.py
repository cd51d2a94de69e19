"""Generate the Python package ``encryption_api`` from ``proto/``.

Usage: ``generate_proto.py [--check] PACKAGE_DIRECTORY``. With ``--check`` nothing is written and
the exit code is 1 if the directory is not what the contract yields.

protoc lays modules out by the contract's folders (``groupseal/encryption/v1``), which would put
generated code inside the hand-written package ``groupseal``; so the imports are rewritten to one
flat package.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
CONTRACT = "groupseal.encryption.v1"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def main() -> int:
    """Return the exit code: 0 written or equal, 1 different."""
    parser = argparse.ArgumentParser(description="Generate encryption_api from proto/.")
    parser.add_argument("package", type=Path)
    parser.add_argument("--check", action="store_true", help="compare only")
    arguments = parser.parse_args()
    package: Path = arguments.package

    expected = generate(package.name)
    present = {
        path.name: path.read_text() for pattern in GENERATED for path in package.glob(pattern)
    }
    if arguments.check:
        different = sorted(
            name for name in expected | present if expected.get(name) != present.get(name)
        )
        for name in different:
            print(f"{package / name} is not what proto/ yields: run 'make proto' and commit it")
        return 1 if different else 0
    for name in present.keys() - expected.keys():
        (package / name).unlink()
    for name, text in expected.items():
        (package / name).write_text(text)
    return 0


def generate(package: str) -> dict[str, str]:
    """File name to text of every generated module, as part of ``package``."""
    sources = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.rglob("*.proto"))
    if not sources:
        sys.exit(f"no .proto file under {PROTO}: the contract is missing")
    plugins = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"--proto_path={PROTO}",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
                f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                f"--mypy_out=quiet:{out}",
                f"--mypy_grpc_out=quiet:{out}",
                *sources,
            ],
            check=True,
        )
        made = sorted(path for pattern in GENERATED for path in Path(out).rglob(pattern))
        return {path.name: in_package(path.read_text(), package) for path in made}


def in_package(text: str, package: str) -> str:
    """``text`` with its imports and module names moved from the contract's folders to ``package``.

    Names of services, methods and messages on the wire keep the contract's package.
    """
    contract = re.escape(CONTRACT)
    text = re.sub(rf"^(from|import) {contract}\b", rf"\1 {package}", text, flags=re.MULTILINE)
    return re.sub(rf"'{contract}\.(\w+_pb2)'", rf"'{package}.\1'", text)


if __name__ == "__main__":
    sys.exit(main())
