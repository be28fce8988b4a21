"""Using a trained model: writing texts with it, and merging it into a model of its own."""

from fttui_engine.spec.keys.key import Key

GENERATION = (
    Key("do_predict", "flag", False, "Write answers to the evaluation data when training is done."),
    Key(
        "predict_with_generate",
        "flag",
        False,
        "Goes with do_predict, as in LLaMA-Factory; by itself it has no effect.",
    ),
    Key("do_sample", "flag", True, "Draw each token by chance; false takes the likeliest."),
    Key("temperature", "number", 0.95, "Below 1 the likelier tokens are drawn more often.", above=0),
    Key(
        "top_p",
        "number",
        0.7,
        "Draw from the likeliest tokens that together have this probability.",
        above=0,
        at_most=1,
    ),
    Key("top_k", "whole", 50, "Draw from so many of the likeliest tokens; 0 means all.", at_least=0),
    Key("num_beams", "whole", 1, "Beams of a beam search; 1 means none.", at_least=1, at_most=256),
    Key(
        "max_new_tokens", "whole", 1024, "Longest answer in tokens; below 1 max_length decides.", at_least=-1
    ),
    Key("max_length", "whole", 1024, "Longest question and answer together, in tokens.", at_least=1),
    Key("repetition_penalty", "number", 1.0, "Above 1 makes repetition less likely.", above=0),
    Key("length_penalty", "number", 1.0, "Of a beam search: above 0 favours long answers."),
    Key("skip_special_tokens", "flag", True, "Leave out special tokens, such as the end of the answer."),
    Key(
        "infer_dtype",
        "choice",
        "auto",
        "Precision of a model that is used: auto is 16 bits on a GPU, float32 on the CPU, and the base model's own in an export.",
        choices=("auto", "float16", "bfloat16", "float32"),
    ),
)

EXPORT = (
    Key("export_dir", "path", None, "Folder that fttui export writes."),
    Key("export_size", "whole", 5, "Largest file of an export in GB.", at_least=1),
    Key("export_device", "choice", "cpu", "Where an export is merged.", choices=("cpu", "auto")),
)
