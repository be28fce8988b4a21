"""Several processes that train one model."""

from fttui_engine.spec.keys.key import Key

RANKS = (
    Key("ddp_timeout", "whole", 1800, "Seconds that a process waits for the others in a step.", at_least=1),
    Key(
        "ddp_bucket_cap_mb", "whole", None, "DDP: size of the pieces that gradients are sent in.", at_least=1
    ),
    Key("ddp_find_unused_parameters", "flag", False, "DDP: allow weights that get no gradient (slower)."),
    Key(
        "fsdp",
        "choice",
        "no",
        "Divide the model among the GPUs (run.strategy: fsdp); shard_grad_op divides less, and is faster.",
        choices=("no", "full_shard", "shard_grad_op"),
    ),
    Key(
        "deepspeed",
        "path",
        None,
        "File (JSON) by which DeepSpeed divides optimizer, gradients or weights among the GPUs (ZeRO).",
    ),
)
