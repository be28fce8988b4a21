"""What is written, evaluated and kept."""

from fttui_engine.spec.keys.key import Key

SAVING = (
    Key(
        "output_dir", "path", None, "Folder for checkpoints and result; unset means inside the run's folder."
    ),
    Key("overwrite_output_dir", "flag", False, "Allow a folder that holds checkpoints of another run."),
    Key("logging_steps", "interval", 1, "Steps between two points of the loss curve.", above=0),
    Key("save_strategy", "choice", "steps", "When to save.", choices=("no", "steps", "epoch")),
    Key("save_steps", "interval", 500, "Steps between two checkpoints.", above=0),
    Key("save_total_limit", "whole", None, "Checkpoints to keep; at least 2 are kept.", at_least=1),
    Key("eval_strategy", "choice", "no", "When to evaluate.", choices=("no", "steps", "epoch")),
    Key("eval_steps", "interval", None, "Steps between two evaluations; unset means save_steps.", above=0),
    Key("per_device_eval_batch_size", "whole", 8, "Examples per evaluation batch on one device.", at_least=1),
)
