"""The keys of the screen on which base and trained model answer the same questions."""

from typing import Final

from fttui.keys.key import CHECKPOINTS, COMPARE, RUN, Key

COMPARE_KEYS: Final = (
    Key(
        "compare-open",
        "a",
        "a",
        "ask_both",
        "ask",
        "ask the trained model and its base the same, side by side",
        RUN | CHECKPOINTS,
    ),
    Key("compare-ask", "enter,i", "enter", "ask", "ask", "type a question to both models", COMPARE),
    Key("compare-next", "n", "n", "turn(1)", "next", "next question", COMPARE),
    Key("compare-before", "p", "p", "turn(-1)", "before", "question before", COMPARE),
    Key("compare-file", "f", "f", "file", "file", "ask all questions of a file", COMPARE),
    Key("compare-stop", "x", "x", "stop", "stop", "end what is being written, and what waits", COMPARE),
    Key("compare-save", "w", "w", "save", "save", "write questions and answers as JSON lines", COMPARE),
    Key(
        "compare-cpu",
        "c",
        "c",
        "on_cpu",
        "on CPU",
        "load the models on the CPU instead",
        COMPARE,
        in_footer=False,
    ),
    Key("compare-down", "j,down", "j", "scroll(1)", "down", "one line down", COMPARE, in_footer=False),
    Key("compare-up", "k,up", "k", "scroll(-1)", "up", "one line up", COMPARE, in_footer=False),
    Key(
        "compare-page",
        "space,pagedown",
        "space",
        "scroll(10)",
        "page",
        "ten lines down",
        COMPARE,
        in_footer=False,
    ),
    Key(
        "compare-page-before",
        "b,pageup",
        "b",
        "scroll(-10)",
        "back",
        "ten lines up",
        COMPARE,
        in_footer=False,
    ),
)
