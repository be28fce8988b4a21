"""Files of other programs that are easily taken for a configuration: what each is, and where it belongs."""

from fttui_engine.spec.nodes import Block

# Keys that no configuration has, so many of which must be there, and what to say.
_SIGNS: tuple[tuple[frozenset[str], int, str], ...] = (
    (
        frozenset({"compute_environment", "distributed_type", "num_machines", "downcast_bf16"}),
        2,
        "This is a file for `accelerate launch`, which is not needed here: give the training's own YAML. What this "
        "one says goes into that one's run: block: num_processes is gpus, distributed_type: FSDP strategy: fsdp.",
    ),
    (
        frozenset({"zero_optimization", "train_micro_batch_size_per_gpu", "zero_allow_untested_optimizer"}),
        1,
        "This is a file of settings for DeepSpeed; give the training's own YAML, and name this one in it: "
        "deepspeed: FILE.",
    ),
    (
        frozenset(
            {
                *(
                    "model_class",
                    "train_dataset",
                    "peft_config",
                    "kernel_config",
                    "quant_config",
                    "init_config",
                ),
                *("dist_config", "optim_config", "batching_strategy", "sample_backend", "mtp_config"),
            }
        ),
        2,
        "This is in the format of LLaMA-Factory's experimental second version (USE_V1=1), which has keys and data "
        "files of its own; write it in those of the first, which all guides are about: peft_config.r is lora_rank, "
        "train_dataset dataset, micro_batch_size per_device_train_batch_size.",
    ),
)
_SOURCES_OF_DATA = frozenset(
    {"file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"}
)


def foreign_file(document: Block) -> str | None:
    """What a file is that belongs to another program, and what to do with it; None for a configuration."""
    names = {key.text for key, _ in document.entries}
    for keys, least, sentence in _SIGNS:
        if len(names & keys) >= least:
            return sentence
    if all(isinstance(node, Block) and _names_data(node) for _, node in document.entries):
        return (
            "This is a list of data sets; give the training's own YAML, and name one of them in it: "
            "dataset: NAME, with dataset_dir: the folder of this file."
        )
    return None


def _names_data(block: Block) -> bool:
    return any(key.text in _SOURCES_OF_DATA for key, _ in block.entries)
