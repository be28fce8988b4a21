"""Whether the layers that get an adapter are there, as far as config.json alone tells; the worker knows them all."""

from typing import TYPE_CHECKING

from fttui_engine.spec.findings import nearest

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

TARGETS = {"lora": "lora_target", "oft": "oft_target"}
# Beside those of the layers; an adapter on them is allowed.
ENDS = ("embed_tokens", "lm_head")


def check_target_layers(case: "Lint") -> None:
    """Every name in lora_target (oft_target) is that of a layer of the model, where its architecture is known."""
    values = case.values
    key = TARGETS.get(values["finetuning_type"], "")
    names = [name for name in values.get(key, ()) if name != "all"]
    goes_on = "adapter_name_or_path" in values and not values["create_new_adapter"]
    if not names or goes_on or "model_name_or_path" not in values:
        return
    from fttui_engine.spec.memory.model_config import read_model_config
    from fttui_engine.spec.memory.model_shape import UnknownShapeError
    from fttui_engine.spec.memory.shape_reading import read_shape

    try:
        config = read_model_config(
            values["model_name_or_path"], values["model_revision"], values.get("cache_dir")
        )
        shape = read_shape(config)
    except UnknownShapeError:
        return
    paths = [
        f"model.layers.{layer}.{linear.name}" for layer in range(shape.layers) for linear in shape.linears
    ]
    paths += ["model.embed_tokens", "lm_head"]
    layers = [*(linear.name.rpartition(".")[2] for linear in shape.linears), *ENDS]
    for name in names:
        if not any(path == name or path.endswith(f".{name}") for path in paths):
            suggestion = nearest(name, layers)
            case.error(
                key,
                f"{key} names {name[:80]!r}, which no layer of this {shape.model_type} model is called; they are "
                f"{', '.join(layers)}.",
                found=name[:80],
                allowed=", ".join(layers),
                suggestion=suggestion,
            )
