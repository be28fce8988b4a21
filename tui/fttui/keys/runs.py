"""The keys that do something to a run, and those of the dashboard."""

from typing import Final

from fttui.keys.key import CHART, DASHBOARD, DOCTOR, PAGES, WITH_A_RUN, Key

ACTION_KEYS: Final = (
    Key("open", "enter", "enter", "open_run", "open", "show the selected run in full", DASHBOARD),
    Key(
        "new",
        "n",
        "n",
        "new_run",
        "new",
        "start a new run from a profile or a YAML file",
        WITH_A_RUN,
        changes=True,
    ),
    Key(
        "stop", "s", "s", "stop_run", "stop", "save a checkpoint, then stop", WITH_A_RUN | CHART, changes=True
    ),
    Key(
        "resume",
        "r",
        "r",
        "resume_run",
        "resume",
        "go on from the newest whole checkpoint",
        WITH_A_RUN,
        changes=True,
    ),
    Key(
        "kill",
        "K",
        "K",
        "kill_run",
        "kill",
        "kill at once; what was not saved is lost",
        WITH_A_RUN,
        changes=True,
    ),
    Key(
        "delete",
        "d",
        "d",
        "delete_run",
        "delete",
        "delete an ended run and its checkpoints",
        WITH_A_RUN,
        changes=True,
    ),
)

WAY_KEYS: Final = (
    Key("log", "l", "l", "open_log", "log", "read the run's log", DASHBOARD | PAGES),
    Key(
        "gpus",
        "u",
        "u",
        "open_gpus",
        "GPUs",
        "the GPUs in full, with every process",
        DASHBOARD,
        in_footer=False,
    ),
    Key(
        "doctor",
        "D",
        "D",
        "open_doctor",
        "doctor",
        "what of this machine stands in the way of training",
        DASHBOARD,
        in_footer=False,
    ),
    Key("doctor-again", "r", "r", "examine", "again", "look at everything again", DOCTOR),
    Key("mark", "space", "space", "mark", "mark", "mark for comparison, or not", DASHBOARD, in_footer=False),
)

MOVE_KEYS: Final = (
    Key(
        "filter",
        "slash",
        "/",
        "ask_filter",
        "filter",
        "list only runs with these words in name or state; nothing lists all",
        DASHBOARD,
        in_footer=False,
    ),
    Key("down", "j,down", "j", "move(1)", "down", "next run", DASHBOARD, in_footer=False),
    Key("up", "k,up", "k", "move(-1)", "up", "previous run", DASHBOARD, in_footer=False),
    Key("first", "g,home", "g", "move(-100000)", "first", "first run", DASHBOARD, in_footer=False),
    Key("last", "G,end", "G", "move(100000)", "last", "last run", DASHBOARD, in_footer=False),
)
