"""The program of an execution environment: sets paths as Lambda does, then runs AWS's client.

Lambda's own is `/var/runtime/bootstrap.py` in AWS's base images for Python
(https://gallery.ecr.aws/lambda/python). This one runs on the interpreter of the functions, which
has no package of the tests on its path.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path


def main(portable_runtime_client: str, *layers: str) -> None:
    """Handle invocations until the process ends.

    Args:
        portable_runtime_client: A folder, appended to the path.
        *layers: The folders with the extracted layers of the function, in their order.
    """
    sys.path.append(portable_runtime_client)
    import awslambdaric.__main__ as runtime  # noqa: PLC0415 (on the path only now)

    runtime_directory = str(Path(runtime.__file__).parents[1])
    task_root = os.environ["LAMBDA_TASK_ROOT"]
    libraries = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    folders = [task_root]
    # A function that sets PYTHONPATH gets no paths of layers, on Lambda as here.
    if "PYTHONPATH" not in os.environ:
        for layer in reversed(layers):  # the last layer shadows the others
            folders += [f"{layer}/python/{libraries}", f"{layer}/python"]
    sys.path[:0] = folders
    for folder in folders:
        site.addsitedir(folder)  # for `.pth` files
    os.environ.setdefault("PYTHONPATH", runtime_directory)
    os.environ["LAMBDA_RUNTIME_DIR"] = runtime_directory
    runtime.main([task_root, os.environ["_HANDLER"]])


if __name__ == "__main__":
    main(*sys.argv[1:])
