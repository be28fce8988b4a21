"""What is learned."""

from fttui_engine.spec.keys.key import Key

DATA = (
    Key("dataset", "texts", None, "Data: files, names of dataset_info.json, or demo:instructions."),
    Key("eval_dataset", "texts", None, "Data to evaluate on."),
    Key("dataset_dir", "path", "data", "Folder with dataset_info.json and the files that it names."),
    Key("template", "text", None, "Chat template for models that have none; the model's own goes first."),
    Key("enable_thinking", "flag", None, "Whether reasoning models are to think before they answer."),
    Key("cutoff_len", "whole", 2048, "Longest example in tokens; longer ones are cut.", at_least=8),
    Key(
        "packing",
        "flag",
        None,
        "Fill examples up to cutoff_len with texts one after the other; unset: in stage pt only.",
    ),
    Key("neat_packing", "flag", False, "The same as packing in stage sft."),
    Key("max_samples", "whole", None, "Use only the first examples of each dataset.", at_least=1),
    Key(
        "mix_strategy",
        "choice",
        "concat",
        "Several datasets one after the other, or in turns: until the first is used up (under), until each was (over, "
        "with repetitions), or each record once.",
        choices=("concat", "interleave_under", "interleave_over", "interleave_once"),
    ),
    Key(
        "interleave_probs",
        "texts",
        None,
        "Chance of each dataset in its turn, 1 in all; unset: strictly in turns.",
    ),
    Key("val_size", "amount", 0.0, "Part of the data kept for evaluation: a number, or a fraction below 1."),
    Key("eval_on_each_dataset", "flag", False, "Evaluate on each of eval_dataset by itself."),
    Key(
        "streaming",
        "flag",
        False,
        "Read only as many records of each dataset as max_steps and buffer_size need.",
    ),
    Key(
        "buffer_size", "whole", 16384, "Records that streaming reads beyond those, to draw from.", at_least=1
    ),
    Key(
        "tokenized_path",
        "path",
        None,
        "Folder that prepared data is saved to, or taken from where it is there.",
    ),
    Key(
        "preprocessing_num_workers",
        "whole",
        None,
        "Processes that tokenise; unset: up to 8 for large files.",
        at_least=1,
        at_most=256,
    ),
    Key("train_on_prompt", "flag", False, "Learn the user's turns too."),
    Key("mask_history", "flag", False, "Learn the last answer of a conversation only."),
    Key("default_system", "text", None, "System message for examples that have none."),
)
