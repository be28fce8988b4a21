"""The run: block, which is ours alone."""

from fttui_engine.spec.keys.key import Key

RUN = (
    Key("run.name", "text", None, "Name of the run: letters, digits, . _ - (64 at most)."),
    Key("run.gpus", "gpus", "auto", "GPUs: a number of them, a list of indices, auto or none."),
    Key("run.processes", "whole", None, "Processes where there is no GPU.", at_least=1, at_most=1024),
    Key(
        "run.strategy",
        "choice",
        "auto",
        "How several processes share the work.",
        choices=("auto", "ddp", "fsdp", "deepspeed"),
    ),
    Key(
        "run.rank_batches",
        "rank_batches",
        None,
        "Examples of each process in a batch, for GPUs of different speed: auto, or a list such as [4, 2].",
    ),
    Key("run.nodes", "nodes", 1, "Hosts: a number or a list."),
    Key("run.min_nodes", "whole", None, "Go on with as few hosts as this.", at_least=1),
    Key("run.launcher", "choice", "local", "How processes are started.", choices=("local", "ssh", "slurm")),
    Key("run.slurm.account", "slurm_word", None, "Account that Slurm charges; unset means your default."),
    Key(
        "run.slurm.partition",
        "slurm_word",
        None,
        "Partition (queue) of the cluster; unset means its default.",
    ),
    Key(
        "run.slurm.time",
        "slurm_time",
        None,
        "Time limit of one job, such as 12:00:00 or 2-00; a run goes on in as many jobs as it needs.",
    ),
    Key(
        "run.slurm.gres",
        "slurm_word",
        None,
        "GPUs as Slurm names them, such as gpu:a100:2; unset means gpu:N by run.gpus.",
    ),
    Key(
        "run.slurm.signal_seconds",
        "whole",
        None,
        "How long before the time limit it saves and goes back to the queue; unset means 240.",
        at_least=10,
        at_most=65535,
    ),
    Key(
        "run.slurm.extra", "slurm_lines", None, "Further options of sbatch, such as [--qos=high, --mem=64G]."
    ),
    Key(
        "run.restart.max",
        "whole",
        0,
        "Restarts after failures, counted since the last newer checkpoint.",
        at_least=0,
        at_most=1000,
    ),
    Key(
        "run.restart.backoff_seconds",
        "number",
        None,
        "Pause before the first of them, doubled each time; unset means 15.",
        at_least=0,
    ),
    Key(
        "run.restart.on_oom",
        "choice",
        None,
        "When memory runs out: shrink goes on with smaller batches and more accumulation, then with gradient_checkpointing.",
        choices=("shrink",),
    ),
    Key(
        "run.hang_seconds",
        "patience",
        "auto",
        "How long nothing may get on before the run is ended as hung: auto (by the pace observed), off, or seconds.",
    ),
    Key(
        "run.divergence",
        "choice",
        "stop",
        "What happens when the loss is no number any more or explodes.",
        choices=("stop", "warn", "off"),
    ),
    Key(
        "run.log_max_bytes",
        "whole",
        2**31,
        "What the log of an attempt may take on disk; beyond it the middle is cut out, beginning and end stay.",
        at_least=2**20,
        at_most=2**50,
    ),
    Key(
        "run.resume_after_reboot",
        "flag",
        False,
        "Go on by itself after the host came back; needs fttui install-autostart once.",
    ),
    Key("run.environment", "environment", None, "Environment variables of the run."),
    Key("run.python", "path", None, "Python that runs the training; unset means the one of fttui."),
    Key("run.command", "command", None, "Run this program instead of our training: a list of words."),
)
