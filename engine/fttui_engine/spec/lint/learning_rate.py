"""Learning rates that are a slip, or that make a model forget what it knew."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# Outside these is nearly always a slipped exponent: (least, most).
USUAL = {
    "lora": (1e-6, 1e-2),
    "oft": (1e-6, 1e-2),
    "full": (1e-7, 2e-3),
    "freeze": (1e-7, 2e-3),
}
# Above these, the first steps want a warm-up.
HIGH = {"lora": 1e-3, "oft": 1e-3, "full": 1e-4, "freeze": 1e-4}
# What learns from preferences or rewards starts from a model that is good already, and takes a tenth of the rate.
TENTH = ("dpo", "kto", "ppo")
# Of these the first steps are as large as all others, however little is known of the gradients yet.
ADAMS = ("adamw", "paged_adamw")


def check_learning_rate(case: "Lint") -> None:
    """The learning rate is one that others use for this method, and a high one is come to in small steps."""
    values = case.values
    method, rate = values["finetuning_type"], values["learning_rate"]
    scale = 0.1 if values["stage"] in TENTH else 1.0
    least, most = (scale * end for end in USUAL[method])
    where = f"finetuning_type: {method}" + (f" and stage: {values['stage']}" if scale < 1 else "")
    if not least <= rate <= most:
        case.warn(
            "learning_rate",
            f"learning_rate {rate:g} is far outside the usual range for {where} ({least:g} to {most:g}); check the "
            "exponent.",
            found=f"{rate:g}",
            allowed=f"usually {least:g} to {most:g}",
        )
        return
    warms_up = values["warmup_steps"] or values["warmup_ratio"]
    high = scale * HIGH[method]
    if rate > high and not warms_up and values["optim"].startswith(ADAMS):
        case.warn(
            "learning_rate",
            f"learning_rate {rate:g} is high for {where}, and there is no warm-up: the first steps may undo what the model "
            f"knew. Set warmup_ratio: 0.03, or a rate of at most {high:g}.",
            found=f"{rate:g}",
            suggestion="warmup_ratio: 0.03",
        )
