"""``fttui profiles``: the ready-made configurations, and which of them this machine has the hardware for."""

import json
from argparse import Namespace
from typing import Any

from fttui_engine.errors import ExitCode
from fttui_engine.spec.profiles import Hardware, Profile, list_profiles, load_profile, missing_hardware


def run(args: Namespace) -> int:
    """List all profiles, or print the YAML of one."""
    if args.name is not None:
        profile = load_profile(args.name)
        print(json.dumps(_to_json(profile), indent=1) if args.json else profile.path.read_text(), end="")
        print(end="\n" if args.json else "")
        return ExitCode.DONE
    profiles = list_profiles()
    if args.json:
        print(json.dumps([_to_json(profile) for profile in profiles], indent=1))
        return ExitCode.DONE
    width = max((len(profile.name) for profile in profiles), default=0)
    for profile in profiles:
        mark = " " if missing_hardware(profile.hardware) else "*"
        print(f"{mark} {profile.name:<{width}}  {_needs(profile.hardware):<24}  {profile.summary}")
    print(
        "\n* this machine has the hardware for it; bf16 becomes fp16 or float32 where the cards ask for it."
    )
    print("fttui profiles NAME prints one; fttui start --profile NAME --set KEY=VALUE starts it.")
    return ExitCode.DONE


def _to_json(profile: Profile) -> dict[str, Any]:
    missing = missing_hardware(profile.hardware)
    return {
        "name": profile.name,
        "path": str(profile.path),
        "summary": profile.summary,
        "header": profile.header,
        "hardware": profile.hardware._asdict(),
        "fits_here": missing is None,
        "missing": missing,
    }


def _needs(hardware: Hardware) -> str:
    if hardware.gpus == 0:
        return "CPU"
    count = "1 GPU" if hardware.gpus == 1 else f"{hardware.gpus}+ GPUs"
    return f"{count} of {hardware.memory_gb:g}+ GB"
