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
    Key("eval_on_start", "flag", False, "Evaluate before the first step too."),
    Key("compute_accuracy", "flag", False, "Measure how many tokens are foretold right (eval_accuracy)."),
    Key(
        "compute_metrics",
        "text",
        None,
        "Function of your own that measures an evaluation: module.function, or file.py:function.",
    ),
    Key(
        "load_best_model_at_end", "flag", False, "Save each new best evaluation; the best one is the result."
    ),
    Key("metric_for_best_model", "text", None, "What the best is measured by; unset means loss."),
    Key(
        "greater_is_better",
        "flag",
        None,
        "Whether more of it is better; unset means not for loss and perplexity.",
    ),
    Key(
        "early_stopping_steps",
        "whole",
        None,
        "Stop after so many evaluations in a row that were no better.",
        at_least=1,
    ),
    Key("report_to", "texts", ["none"], "Where curves go too: none, or any of tensorboard, wandb, trackio."),
    Key("logging_dir", "path", None, "Folder for TensorBoard; unset means logs in output_dir."),
    Key("project", "text", None, "Name of the project in wandb or trackio."),
)
