"""``python -P -m fttui_engine.train.inference REQUEST``: started by ``fttui predict|chat|compare|export``."""

import os
import sys
import traceback

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from fttui_engine.errors import ExitCode, FttuiError
from fttui_engine.train.failures import explain
from fttui_engine.train.inference.request import Request


def main() -> int:
    """Do what the request says; messages are for people, on stderr."""
    try:
        request = Request.from_json(sys.argv[1])
    except (IndexError, ValueError, TypeError):
        print("This process is started by: fttui predict | chat | compare | export", file=sys.stderr)
        return ExitCode.WRONG_REQUEST
    try:
        return _run(request)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # `fttui compare ... | head` closed the pipe; the interpreter would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said in words
        failure = explain(error, request.config)
        if failure.kind == "error" and not isinstance(error, FttuiError):
            traceback.print_exc()
        print(f"fttui: {failure.message}", file=sys.stderr)
        if failure.advice:
            print(f"  {failure.advice}", file=sys.stderr)
        return error.exit_code if isinstance(error, FttuiError) else ExitCode.FAILED


def _run(request: Request) -> int:
    print(f"fttui: loading {request.label}", file=sys.stderr, flush=True)
    match request.verb:
        case "predict":
            from fttui_engine.train.inference.predict import predict

            return predict(request)
        case "chat":
            from fttui_engine.train.inference.chat import chat

            return chat(request)
        case "compare":
            from fttui_engine.train.inference.compare import compare

            return compare(request)
        case "side_by_side":
            from fttui_engine.train.inference.side_by_side import side_by_side

            return side_by_side(request)
        case _:
            from fttui_engine.train.inference.export import export

            return export(request)


if __name__ == "__main__":
    sys.exit(main())
