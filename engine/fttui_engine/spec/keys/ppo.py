"""PPO: who scores the answers that the model writes, and how it learns from them."""

from fttui_engine.spec.keys.key import Key

PPO = (
    Key(
        "reward_model", "path", None, "What scores the answers in stage ppo: the output folder of a stage rm."
    ),
    Key(
        "reward_model_type",
        "choice",
        "lora",
        "Whether reward_model is an adapter (lora) or a model of its own (full).",
        choices=("lora", "full"),
    ),
    Key("reward_model_adapters", "texts", None, "Adapters that are put on reward_model where it is a model."),
    Key(
        "reward_model_quantization_bit",
        "whole",
        None,
        "Bits of a weight of reward_model where it is a model; unset means no quantization.",
        choices=("4", "8"),
    ),
    Key(
        "ppo_buffer_size",
        "whole",
        1,
        "Batches of questions that are answered before a step learns.",
        at_least=1,
    ),
    Key("ppo_epochs", "whole", 4, "How often a step learns from the same answers.", at_least=1),
    Key("ppo_score_norm", "flag", False, "Measure scores by the mean and the spread of all scores so far."),
    Key(
        "ppo_target",
        "number",
        6.0,
        "Distance from the reference (KL) that the price of leaving it aims at.",
        above=0,
    ),
    Key("ppo_whiten_rewards", "flag", False, "Scale the rewards of a step to a variance of 1."),
)
