"""Lines of several ranks in one log."""

import io

from fttui_engine.train.ranks.output import MarkedLines


def test_only_whole_lines_are_written_each_behind_its_rank() -> None:
    log = io.StringIO()
    marked = MarkedLines(log, 1)
    print("begin", end="", file=marked)
    assert log.getvalue() == ""
    print(" end\n\nlast", file=marked)
    assert log.getvalue() == "[rank1]: begin end\n[rank1]: \n[rank1]: last\n"
    print("unfinished", end="", file=marked)
    marked.flush()
    assert log.getvalue().endswith("last\n")
