"""``fttui export-command`` prints what real torchrun trains with, and goes on with when it is started again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fttui
import fttui_engine

CONFIG = """
model_name_or_path: demo:tiny
dataset: demo:instructions
output_dir: {output}
use_cpu: true
max_samples: 24
max_steps: 4
save_steps: 2
logging_steps: 1
cutoff_len: 64
run:
  processes: 2
"""


def test_the_printed_line_trains_and_goes_on_where_it_was(tmp_path: Path) -> None:
    output = tmp_path / "out put"
    (tmp_path / "train.yaml").write_text(CONFIG.format(output=json.dumps(str(output))))
    roots = os.pathsep.join(str(Path(package.__file__ or "").parents[1]) for package in (fttui_engine, fttui))
    environment = os.environ | {
        "FTTUI_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": roots,
        "OMP_WAIT_POLICY": "PASSIVE",
    }

    def shell(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    lines = shell(f"{sys.executable} -m fttui export-command train.yaml --set seed=3")
    said = shell(lines)
    assert "ranks: 2 processes share the work by ddp" in said
    assert "finished: Finished 4 steps" in said
    run = output / "fttui-run"
    assert json.loads((run / "attempts" / "001" / "outcome.json").read_text())["result"] == "finished"
    points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == [1, 2, 3, 4]
    assert (output / "checkpoint-4" / "rng_state_1.pth").exists()
    assert "seed: 3" in (run / "spec.yaml").read_text()

    # As when the host was lost while it wrote its last checkpoint; one process is enough to see where it begins.
    (output / "checkpoint-4" / "manifest.json").unlink()
    said = shell(lines.replace("--nproc-per-node=2", "--nproc-per-node=1"))
    assert "4 steps, resumed from step 2" in said
    assert "finished: Finished 4 steps" in said
