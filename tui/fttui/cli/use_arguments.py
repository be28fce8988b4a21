"""The arguments of the verbs that use a model: ``predict``, ``chat``, ``compare`` and ``export``."""

from argparse import ArgumentParser

from fttui.cli.arguments import count, json_argument


def _target(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target",
        metavar="MODEL",
        help="a run, a folder with a model or adapter, or a YAML file that names them",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="STEP",
        type=count,
        help="that of this step (default: the result, else the newest)",
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="set one key, such as temperature"
    )
    parser.add_argument("--gpu", metavar="N", type=count, help="use this GPU, even beside a run")


def _target_and_device(parser: ArgumentParser) -> None:
    _target(parser)
    parser.add_argument("--cpu", action="store_true", help="use no GPU")


def predict_arguments(parser: ArgumentParser) -> None:
    """Declare what is asked, and where the answers go."""
    _target_and_device(parser)
    parser.add_argument(
        "--data", metavar="FILE", action="append", default=[], help="questions (default: the evaluation data)"
    )
    parser.add_argument(
        "--to", metavar="FOLDER", help="where the answers go; what is there already is gone on with"
    )
    json_argument(parser)


def chat_arguments(parser: ArgumentParser) -> None:
    """Declare with what one talks."""
    _target_and_device(parser)
    parser.add_argument("--system", metavar="TEXT", help="system message")


def compare_arguments(parser: ArgumentParser) -> None:
    """Declare what both models are asked."""
    _target_and_device(parser)
    parser.add_argument(
        "--prompts", metavar="FILE", required=True, help="one question per line, or a data file"
    )
    parser.add_argument(
        "--base", metavar="MODEL", help="what a model that was trained in full is compared with"
    )
    json_argument(parser)


def export_arguments(parser: ArgumentParser) -> None:
    """Declare what is merged, and into what."""
    _target(parser)
    parser.add_argument("--to", metavar="FOLDER", help="a folder that is not there yet (default: export_dir)")
    parser.add_argument("--dtype", metavar="bf16|fp16|fp32", help="precision (default: the base model's)")
    parser.add_argument("--gguf", action="store_true", help="write a GGUF file beside it, for llama.cpp")
    json_argument(parser)
