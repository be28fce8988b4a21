"""The keys of the pages about a run."""

from typing import Final

from fttui.keys.key import CHART, CHECKPOINTS, CONFIG, FILES, LISTS, PAGES, Key

CHART_KEYS: Final = (
    Key("chart-metric", "m", "m", "metric(1)", "metric", "next metric", CHART),
    Key("chart-metric-before", "M", "M", "metric(-1)", "metric", "metric before", CHART, in_footer=False),
    Key("chart-inspect", "i", "i", "inspect", "inspect", "a cursor to read values from, or none", CHART),
    Key("chart-compare", "c", "c", "compare", "compare", "choose runs to lay over this one", CHART),
    Key("chart-x", "x", "x", "x_axis", "x axis", "x axis by step, time or tokens", CHART),
    Key("chart-log", "o", "o", "log_axis", "log", "logarithmic y axis, or not", CHART),
    Key("chart-smooth", "right_curly_bracket", "}", "smooth(1)", "smooth", "smooth more", CHART),
    Key(
        "chart-smooth-less",
        "left_curly_bracket",
        "{",
        "smooth(-1)",
        "smooth",
        "smooth less",
        CHART,
        in_footer=False,
    ),
    Key("chart-zoom", "plus,equals_sign", "+", "zoom(1)", "zoom", "zoom in, at the cursor or the end", CHART),
    Key("chart-zoom-out", "minus", "-", "zoom(-1)", "zoom", "zoom out", CHART, in_footer=False),
    Key(
        "chart-left",
        "h,left",
        "left",
        "pan(-1)",
        "left",
        "cursor or window to the left",
        CHART,
        in_footer=False,
    ),
    Key(
        "chart-right",
        "right",
        "right",
        "pan(1)",
        "right",
        "cursor or window to the right",
        CHART,
        in_footer=False,
    ),
    Key("chart-all", "0", "0", "zoom(0)", "all", "the whole x axis", CHART, in_footer=False),
)

ITEM_KEYS: Final = (
    Key(
        "checkpoint-resume",
        "enter,r",
        "enter",
        "resume_from",
        "resume from here",
        "go on from this checkpoint; later ones are put aside",
        CHECKPOINTS,
        changes=True,
    ),
    Key(
        "checkpoint-delete",
        "d",
        "d",
        "delete_checkpoint",
        "delete",
        "delete this checkpoint",
        CHECKPOINTS,
        changes=True,
    ),
    Key("file-open", "enter", "enter", "open_file", "read", "read this file as a log", FILES),
    Key("path-copy", "y", "y", "copy_path", "copy path", "copy the path", CHECKPOINTS | FILES),
    Key(
        "config-changed",
        "o",
        "o",
        "only_changed",
        "only changed",
        "only what is not the default, or all",
        CONFIG,
    ),
    Key("config-compare", "c", "c", "compare", "compare", "choose a run to compare with", CONFIG),
)

LIST_KEYS: Final = (
    Key("list-down", "j,down", "j", "scroll(1)", "down", "one line down", LISTS, in_footer=False),
    Key("list-up", "k,up", "k", "scroll(-1)", "up", "one line up", LISTS, in_footer=False),
    Key("list-page-down", "space,pagedown", "space", "scroll_page(1)", "page", "one page down", LISTS),
    Key("list-page-up", "b,pageup", "b", "scroll_page(-1)", "back", "one page up", LISTS, in_footer=False),
    Key("list-first", "g,home", "g", "scroll(-100000)", "first", "to the first line", LISTS, in_footer=False),
    Key("list-last", "G,end", "G", "scroll(100000)", "last", "to the last line", LISTS, in_footer=False),
)

PAGE_KEYS: Final = (
    Key("page-next", "tab", "tab", "next_page(1)", "page", "next page about this run", PAGES),
    Key(
        "page-before",
        "shift+tab",
        "shift+tab",
        "next_page(-1)",
        "page",
        "page before",
        PAGES,
        in_footer=False,
    ),
    Key("page-overview", "1", "1", "page('run')", "overview", "overview", PAGES, in_footer=False),
    Key("page-charts", "2", "2", "page('chart')", "charts", "charts of all metrics", PAGES, in_footer=False),
    Key(
        "page-checkpoints",
        "3",
        "3",
        "page('checkpoints')",
        "checkpoints",
        "checkpoints",
        PAGES,
        in_footer=False,
    ),
    Key("page-events", "4", "4", "page('events')", "events", "what happened to it", PAGES, in_footer=False),
    Key("page-config", "5", "5", "page('config')", "config", "its configuration", PAGES, in_footer=False),
    Key("page-files", "6", "6", "page('files')", "files", "its files", PAGES, in_footer=False),
)
