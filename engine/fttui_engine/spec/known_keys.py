"""Every other key that LLaMA-Factory or transformers know: without effect here, or refused.

A key is refused where leaving it out would train something else than was asked for. It is ignored, and named with the
reason, where the result stays the same or where it only matters together with a refused key.
"""

from typing import NamedTuple

from fttui_engine.spec.nodes import Block, Items, Node, Scalar


class KnownKeys(NamedTuple):
    """Some keys that share one fate."""

    names: str
    why: str
    refused: bool = False
    # Values (in lower case) that ask for nothing beyond what is done anyway.
    neutral: tuple[str, ...] = ("", "false", "no", "off", "none", "0", "0.0")


# Of a choice that changes nothing either way: no word is lost on it.
_EITHER = ("", "true", "yes", "on", "1", *KnownKeys._field_defaults["neutral"][1:])
# Of what is always done.
_ALWAYS = ("", "true", "yes", "on", "1", "none")


def _later(names: str, what: str, instead: str = "", *neutral: str) -> KnownKeys:
    words = KnownKeys._field_defaults["neutral"] + neutral
    return KnownKeys(names, f"{what} needs a later release of fttui{instead and '; ' + instead}", True, words)


REFUSED = (
    _later(
        "accelerator_config parallelism_config",
        "Dividing the work otherwise than run.strategy can say",
        "run.strategy: fsdp divides weights, gradients and optimizer",
    ),
    _later(
        "use_galore use_apollo use_badam use_adam_mini optim_target_modules",
        "This optimizer",
        "optim: adamw_8bit and finetuning_type: lora save memory too",
    ),
    _later(
        "use_asft_loss", "A loss that compares with a second model", "use_dft_loss is the same without it"
    ),
    _later("mixture_of_depths shift_attn", "Changing the layers of a model in this way"),
    _later(
        "freeze_original_embeddings",
        "Training the embeddings of new marks alone",
        "new_special_tokens_config without it trains all of them",
    ),
    _later("split_special_tokens", "Reading marks as plain text"),
    _later(
        "auto_find_batch_size",
        "Finding the batch size by trying",
        "run.restart.on_oom: shrink makes it smaller when memory runs out, and fttui check says before what fits",
    ),
    _later("fp8", "Computing in 8 bits", "bf16: true computes in 16"),
    _later("use_mca use_megatron_bridge use_hyper_parallel use_kt use_v1_kernels", "This backend"),
    _later(
        "ray_num_workers ray_init_kwargs master_addr master_port",
        "Training on several hosts",
        "on one host fttui starts the processes by itself: run.gpus says how many",
    ),
    _later("push_to_hub", "Pushing to the hub", "`hf upload` does it when the run has finished"),
    _later("export_quantization_bit", "Quantizing an export"),
    _later(
        "export_legacy_format",
        "Exporting in the old format (pytorch_model.bin)",
        "everything of today reads safetensors",
    ),
    KnownKeys(
        "resume_from_checkpoint",
        "A run goes on with `fttui resume RUN`, which takes the newest whole checkpoint",
        True,
    ),
    KnownKeys(
        "ignore_pad_token_for_loss",
        "Learning the padding is not offered",
        True,
        ("true", "yes", "on"),
    ),
)

IGNORED = (
    KnownKeys(
        "pissa_convert",
        "an adapter that began with pissa_init is always written as an ordinary one of twice the rank",
    ),
    KnownKeys(
        "quantization_device_map",
        "the whole model is on the one device that trains",
    ),
    KnownKeys(
        "template_kwargs tool_format preserve_thinking",
        "conversations are written with the model's own chat template",
    ),
    KnownKeys(
        "overwrite_cache",
        "prepared data is found by the content of all that it depends on, so it is never out of date",
        neutral=_EITHER,
    ),
    KnownKeys(
        "preprocessing_batch_size data_shared_file_system",
        "prepared data is in a cache that all processes share; the result is the same",
    ),
    KnownKeys(
        "media_dir image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches "
        "video_max_pixels video_min_pixels video_fps video_maxlen use_audio_in_video "
        "audio_sampling_rate freeze_vision_tower freeze_multi_modal_projector freeze_language_model "
        "visual_inputs",
        "only texts are trained on",
    ),
    KnownKeys("padding_free", "packing: true leaves the padding out, and keeps conversations apart"),
    KnownKeys(
        "use_unsloth use_unsloth_gc liger_kernel_config jit_mode_eval use_ipex torchdynamo",
        "it changes speed and memory, not the result",
    ),
    KnownKeys(
        "use_reentrant_gc gradient_checkpointing_kwargs activation_checkpointing_kwargs low_cpu_mem_usage use_fast_tokenizer "
        "use_cache use_kv_cache upcast_lmhead_output torch_empty_cache_steps bf16_full_eval "
        "fp16_full_eval",
        "fttui chooses it; the loss is the same",
        neutral=_EITHER,
    ),
    KnownKeys(
        "half_precision_backend fp16_backend fp16_opt_level",
        "torch's own mixed precision is used",
        neutral=("", "auto", "none", "cuda_amp", "cpu_amp", "o1"),
    ),
    KnownKeys(
        "dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor "
        "dataloader_multiprocessing_context dataloader_in_order length_column_name label_names "
        "remove_unused_columns",
        "it changes the speed of loading at most",
        neutral=_EITHER,
    ),
    KnownKeys(
        "dataloader_drop_last past_index",
        "the last batch of an epoch is always used",
        neutral=(*KnownKeys._field_defaults["neutral"], "-1"),
    ),
    KnownKeys(
        "fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap",
        "run.strategy: fsdp divides the model by its layers (FSDP2) and saves it as one process would",
    ),
    KnownKeys(
        "average_tokens_across_devices",
        "every token of a step weighs the same, whichever process it is in",
        neutral=_ALWAYS,
    ),
    KnownKeys(
        "ddp_backend",
        "processes with GPUs talk by nccl, those without by gloo",
    ),
    KnownKeys(
        "ddp_broadcast_buffers ddp_static_graph local_rank",
        "fttui starts the processes itself and sees to that they agree",
        neutral=(*KnownKeys._field_defaults["neutral"], "-1"),
    ),
    KnownKeys(
        "log_on_each_node save_on_each_node ray_scope tpu_num_cores fp8_backend "
        "fp8_enable_fsdp_float8_all_gather hyper_parallel_args hyper_parallel_cp_size megatron_bridge_args",
        "training runs on one host",
    ),
    KnownKeys(
        "trackio_space_id trackio_bucket_id trackio_static_space_id use_swanlab "
        "swanlab_project swanlab_workspace swanlab_run_name swanlab_mode swanlab_api_key "
        "swanlab_logdir swanlab_lark_webhook_url swanlab_lark_secret",
        "metrics go to the run's metrics.jsonl, and where report_to says",
    ),
    KnownKeys("plot_loss", "fttui draws the loss curve itself, while it grows, and writes no picture"),
    KnownKeys("run_name", "the name of the run is run.name"),
    KnownKeys(
        "include_num_input_tokens_seen include_tokens_per_second include_effective_tokens_per_second "
        "skip_memory_metrics include_for_metrics include_inputs_for_metrics",
        "tokens and rates are always measured",
        neutral=_EITHER,
    ),
    KnownKeys(
        "logging_strategy logging_first_step logging_nan_inf_filter log_level log_level_replica "
        "disable_tqdm print_param_status debug",
        "the log is written one line per logging_steps",
        neutral=(*_EITHER, "passive", "warning", "steps"),
    ),
    KnownKeys(
        "do_eval prediction_loss_only eval_delay eval_do_concat_batches "
        "eval_use_gather_object eval_accumulation_steps batch_eval_metrics",
        "evaluation measures the loss, when eval_strategy says so",
        neutral=_EITHER,
    ),
    KnownKeys(
        "save_only_model",
        "checkpoints always hold the optimizer too, because a run must be able to resume from them",
    ),
    KnownKeys("save_safetensors", "weights are always saved as safetensors", neutral=_ALWAYS),
    KnownKeys(
        "enable_jit_checkpoint restore_callback_states_from_checkpoint ignore_data_skip",
        "fttui stops and resumes runs itself, and exactly",
    ),
    KnownKeys(
        "hub_model_id hub_strategy hub_always_push hub_private_repo hub_revision push_to_hub_model_id "
        "push_to_hub_organization",
        "nothing is pushed to a hub",
    ),
    KnownKeys(
        "hub_token hf_hub_token ms_hub_token om_hub_token push_to_hub_token",
        "secrets do not belong into this file; log in with `hf auth login`, or set HF_TOKEN",
    ),
    KnownKeys(
        "asft_alpha",
        "it belongs to a stage or method that is not there yet",
    ),
    KnownKeys(
        "galore_target galore_rank galore_update_interval "
        "galore_scale galore_proj_type galore_layerwise apollo_target apollo_rank "
        "apollo_update_interval apollo_scale apollo_proj apollo_proj_type apollo_scale_type "
        "apollo_layerwise apollo_scale_front badam_mode badam_start_block badam_switch_mode "
        "badam_switch_interval badam_update_ratio badam_mask_mode badam_verbose kt_weight_path "
        "kt_expert_checkpoint_path kt_use_lora_experts kt_lora_expert_num "
        "kt_lora_expert_intermediate_size kt_cpu_activation kt_non_expert_weight_path",
        "it belongs to a method that is not switched on",
    ),
    KnownKeys(
        "sortish_sampler generation_max_length generation_num_beams generation_config eval_num_beams",
        "max_new_tokens, num_beams and the other keys of generation say it",
    ),
    KnownKeys(
        "infer_backend offload_folder vllm_maxlen "
        "vllm_gpu_util vllm_enforce_eager vllm_max_lora_rank vllm_config sglang_maxlen "
        "sglang_mem_fraction sglang_tp_size sglang_config sglang_lora_backend",
        "texts are written with transformers' generate",
        neutral=(*KnownKeys._field_defaults["neutral"], "huggingface", "hf"),
    ),
    KnownKeys(
        "export_quantization_dataset export_quantization_nsamples export_quantization_maxlen",
        "an export is not quantized",
    ),
    KnownKeys(
        "export_hub_model_id",
        "an export stays on this machine; `hf upload` sends it to the hub",
    ),
    KnownKeys(
        "enable_torch_profiler profiler_output_dir profiler_wait_steps profiler_warmup_steps "
        "profiler_active_steps profiler_repeat profiler_record_shapes profiler_profile_memory "
        "profiler_with_stack profile_modules",
        "there is no profiler yet",
    ),
)

# Values of keys in use that are right elsewhere and wait for a later release here: (key, value): what it is.
LATER_VALUES = {
    ("reward_model_type", "api"): "A reward model on a server",
    ("quantization_method", "hqq"): "Quantizing with HQQ",
    ("quantization_method", "eetq"): "Quantizing with EETQ",
    ("quantization_method", "quanto"): "Quantizing with Quanto",
    ("quantization_method", "gptq"): "Training on a GPTQ model",
    ("quantization_method", "awq"): "Training on an AWQ model",
    ("quantization_method", "aqlm"): "Training on an AQLM model",
    ("save_strategy", "best"): "Saving by evaluation",
    ("flash_attn", "fa3"): "FlashAttention 3",
    ("stage", "grpo"): "GRPO",
    ("stage", "rloo"): "RLOO",
}


def find_known(name: str) -> KnownKeys | None:
    """What is known of a key that has no effect here; None if nobody knows it."""
    for group in (*REFUSED, *IGNORED):
        if name in group.names.split():
            return group
    return None


def known_names() -> list[str]:
    """Every key that is known and has no effect here."""
    return [name for group in (*REFUSED, *IGNORED) for name in group.names.split()]


def asks_for_nothing(known: KnownKeys, node: Node) -> bool:
    """Whether the value is the one that is in force anyway."""
    match node:
        case Scalar():
            return node.is_null or node.text.lower() in known.neutral
        case Items():
            return not node.items
        case Block():
            return not node.entries
