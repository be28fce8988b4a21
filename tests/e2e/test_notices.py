"""What a worker wants noticed stands in the events and in ``fttui show``, once, whoever is killed in between."""

import json

from run_driver import Driver, until

SAYS = r"""
say() { printf '{"message": "%s"}\n' "$1" >> "$FTTUI_RUN_DIR/attempts/001/notices.jsonl"; }
say 'The template is a guess.'; say 'The template is a guess.'
until [ -e "$FTTUI_RUN_DIR/go" ]; do sleep 0.05; done
printf 'garbled\n[1]\n' >> "$FTTUI_RUN_DIR/attempts/001/notices.jsonl"
say 'The template is a guess.'
n=0; while [ $n -lt 100 ]; do n=$((n+1)); say "Record $n is empty."; done
"""


def notices(driver: Driver, run_id: str) -> list[str]:
    return json.loads(driver.cli("show", run_id, "--json", check=0).stdout)["notices"]


def test_notices_are_told_once_each_and_are_bounded(driver: Driver) -> None:
    run = driver.running(SAYS)
    until(lambda: driver.happened(run, "notice"), "the first notice")
    # The next supervisor has to know what this one has told.
    driver.kill(run, "supervisor")
    (run.path / "go").touch()
    driver.cli("wait", run.id, check=0)
    told = notices(driver, run.id)
    assert told[:2] == ["The template is a guess.", "Record 1 is empty."]
    assert len(told) == len(set(told)) <= 50
    assert "notice       Record 1 is empty." in driver.cli("show", run.id, check=0).stdout
    assert "Record 1 is empty." in driver.cli("events", run.id, check=0).stdout
