"""The keys of the steps to a new run; most of its screens have a line to type into, so that few are letters."""

from typing import Final

from fttui.keys.key import NEW_RUN, NEW_RUN_HARDWARE, NEW_RUN_REVIEW, NEW_RUN_STEPS, Key

_WITHOUT_REVIEW = NEW_RUN | NEW_RUN_HARDWARE

NEW_RUN_KEYS: Final = (
    Key("new-next", "enter", "enter", "next", "next", "take it and go on", _WITHOUT_REVIEW),
    Key("new-launch", "enter", "enter", "launch", "start", "start the run", NEW_RUN_REVIEW, changes=True),
    Key("new-to-review", "f8", "f8", "review", "review", "to the review at once", _WITHOUT_REVIEW),
    Key("new-mark", "down", "down", "mark(1)", "choose", "next choice", _WITHOUT_REVIEW),
    Key(
        "new-mark-before", "up", "up", "mark(-1)", "choose", "choice before", _WITHOUT_REVIEW, in_footer=False
    ),
    Key("new-complete", "tab", "tab", "complete", "complete", "complete the path or name", NEW_RUN),
    Key(
        "new-look",
        "f5",
        "f5",
        "look_at_all",
        "all data",
        "look at all records, not only the first",
        NEW_RUN,
        in_footer=False,
    ),
    Key("new-pick", "space", "space", "pick", "pick", "train on this GPU too, or no more", NEW_RUN_HARDWARE),
    Key(
        "new-strategy", "s", "s", "strategy", "strategy", "how several GPUs share the work", NEW_RUN_HARDWARE
    ),
    Key(
        "new-field", "tab", "tab", "complete", "fields", "to the name, the changes, and back", NEW_RUN_REVIEW
    ),
    Key(
        "new-queue",
        "q",
        "q",
        "queue",
        "queue",
        "start it by itself once enough GPUs are free",
        NEW_RUN_REVIEW,
        changes=True,
    ),
    Key(
        "new-probe",
        "d",
        "d",
        "probe",
        "dry run",
        "train three steps on the longest examples, keep nothing",
        NEW_RUN_REVIEW,
        changes=True,
    ),
    Key("new-edit", "e", "e", "edit", "edit", "open the configuration in the editor", NEW_RUN_REVIEW),
    Key(
        "new-save",
        "w",
        "w",
        "save",
        "save",
        "write the configuration to a file",
        NEW_RUN_REVIEW,
        changes=True,
    ),
    Key("new-copy", "y", "y", "copy", "copy", "copy the command line that starts the same", NEW_RUN_REVIEW),
    Key(
        "new-page",
        "pagedown",
        "pgdn",
        "page(1)",
        "page",
        "scroll the lower panel",
        NEW_RUN_STEPS,
        in_footer=False,
    ),
    Key(
        "new-page-before",
        "pageup",
        "pgup",
        "page(-1)",
        "page",
        "scroll it back",
        NEW_RUN_STEPS,
        in_footer=False,
    ),
    Key(
        "new-anew",
        "f9",
        "f9",
        "anew",
        "anew",
        "forget what was chosen, begin anew",
        NEW_RUN_STEPS,
        in_footer=False,
    ),
    Key("new-help", "f1", "f1", "help", "help", "this page", NEW_RUN_STEPS),
    Key("new-back", "escape", "esc", "back", "back", "one step back; what was chosen stays", NEW_RUN_STEPS),
)
