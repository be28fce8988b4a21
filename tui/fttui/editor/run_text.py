"""The configuration of a run as a text to start another one from."""

from pathlib import Path

from fttui.editor.written import value_as_yaml
from fttui_engine.spec.keys import GROUPS
from fttui_engine.spec.resolved import read_spec


def text_of_run(run_id: str, spec_path: Path) -> str:
    """Return what of a run's configuration is not the default, as YAML; raises FttuiError where it is damaged."""
    resolved = read_spec(spec_path)
    lines = [f"# As in the run {run_id}; what is not named here is the default."]
    for group, keys in GROUPS.items():
        if group == "run":
            continue
        written = [
            f"{key.name}: {value_as_yaml(resolved.values[key.name])}"
            for key in keys
            if key.name in resolved.values and _is_chosen(resolved.origins, key.name)
        ]
        lines += ["", *written] if written else []
    run = resolved.values.get("run", {})
    block: list[str] = []
    for name, value in run.items():
        if name == "restart" and isinstance(value, dict):
            inner = [
                f"    {key}: {value_as_yaml(each)}"
                for key, each in value.items()
                if _is_chosen(resolved.origins, f"run.restart.{key}")
            ]
            block += ["  restart:", *inner] if inner else []
        elif name != "name" and (_is_chosen(resolved.origins, f"run.{name}") or name == "command"):
            block.append(f"  {name}: {value_as_yaml(value)}")
    return "\n".join([*lines, *(["", "run:", *block] if block else [])]) + "\n"


def _is_chosen(origins: dict[str, str], name: str) -> bool:
    return not origins.get(name, "default").startswith("default")
