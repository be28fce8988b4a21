"""What is learned."""

from fttui_engine.spec.keys.key import Key

DATA = (
    Key("dataset", "texts", None, "Data: files, names of dataset_info.json, or demo:instructions."),
    Key("eval_dataset", "texts", None, "Data to evaluate on."),
    Key("dataset_dir", "path", "data", "Folder with dataset_info.json and the files that it names."),
    Key("template", "text", None, "Accepted; the chat template of the model is what is used."),
    Key("cutoff_len", "whole", 2048, "Longest example in tokens; longer ones are cut.", at_least=8),
    Key(
        "packing",
        "flag",
        None,
        "Fill examples up to cutoff_len with texts one after the other; unset: in stage pt only.",
    ),
    Key("max_samples", "whole", None, "Use only the first examples of each dataset.", at_least=1),
    Key("val_size", "amount", 0.0, "Part of the data kept for evaluation: a number, or a fraction below 1."),
    Key("train_on_prompt", "flag", False, "Learn the user's turns too."),
    Key("mask_history", "flag", False, "Learn the last answer of a conversation only."),
    Key("default_system", "text", None, "System message for examples that have none."),
)
