"""``fttui locate``: where everything is."""

import json
import sys
from argparse import Namespace

from fttui.settings import config_path
from fttui_engine.errors import ExitCode
from fttui_engine.runs.home import runs_folder, state_home
from fttui_engine.spec.profiles import profiles_folder


def locate(arguments: Namespace) -> int:
    """Print the folders that fttui uses."""
    places = {
        "home": str(state_home()),
        "runs": str(runs_folder()),
        "profiles": str(profiles_folder()),
        "config": str(config_path()),
        "python": sys.executable,
    }
    if arguments.json:
        print(json.dumps(places, indent=1))
    else:
        for name, path in places.items():
            print(f"{name:<9} {path}")
    return ExitCode.DONE
