"""What is preferred: the reward model (rm), pairs of answers (dpo), answers called good or bad (kto)."""

from fttui_engine.spec.keys.key import Key

PREFERENCE_LOSSES = ("sigmoid", "hinge", "ipo", "kto_pair", "orpo", "simpo")

PREFERENCE = (
    Key(
        "pref_beta",
        "number",
        0.1,
        "How close the model stays to the reference; higher is closer. In orpo, the weight of its odds.",
        above=0,
    ),
    Key("pref_loss", "choice", "sigmoid", "Loss of stage dpo.", choices=PREFERENCE_LOSSES),
    Key("pref_ftx", "number", 0.0, "Weight of learning the better answers as in sft, added.", at_least=0),
    Key(
        "pref_bco_weight",
        "number",
        0.0,
        "Weight of the binary classifier's loss (BCO), mixed in.",
        at_least=0,
    ),
    Key(
        "dpo_label_smoothing",
        "number",
        0.0,
        "Share of pairs that are expected to be the wrong way round; with pref_loss: sigmoid.",
        at_least=0,
        at_most=0.5,
    ),
    Key("simpo_gamma", "number", 0.5, "Margin that pref_loss: simpo aims at.", at_least=0),
    Key(
        "ld_alpha",
        "number",
        None,
        "Weight of what the longer answer of a pair has beyond the shorter one (LD-DPO); unset means 1.",
        at_least=0,
        at_most=1,
    ),
    Key("kto_chosen_weight", "number", 1.0, "Weight of the good answers in stage kto.", at_least=0),
    Key("kto_rejected_weight", "number", 1.0, "Weight of the bad answers in stage kto.", at_least=0),
    Key(
        "ref_model",
        "path",
        None,
        "Model to stay close to; unset means the model itself before the training.",
    ),
    Key("ref_model_adapters", "texts", None, "Adapters that are put on ref_model."),
    Key(
        "ref_model_quantization_bit",
        "whole",
        None,
        "Bits of a weight of ref_model; unset means no quantization.",
        choices=("4", "8"),
    ),
)
