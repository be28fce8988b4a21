"""``fttui export-command``: the lines for torchrun, for those who have a launcher of their own."""

from argparse import Namespace
from pathlib import Path

from fttui_engine.launch.export_command import torchrun_lines
from fttui_engine.spec.load import resolve


def run(args: Namespace) -> int:
    """Print the lines."""
    # The folder of a job that is started again holds its own checkpoints.
    resolved = resolve(Path(args.config), overrides=[*args.set, "overwrite_output_dir=true"])
    for line in torchrun_lines(resolved, args.config, args.set, hosts=args.hosts, master=args.master):
        print(line)
    return 0
