"""What each GPU generation can do, by CUDA compute capability: the one table that everything else asks.

Sources and the meaning of each column stand in docs/hardware.md.
"""

from typing import Literal, NamedTuple

Capability = tuple[int, int]
Precision = Literal["bf16", "fp16"]


class Generation(NamedTuple):
    """The rules of one row: they hold from ``since`` up to the next row."""

    since: Capability
    name: str
    # torch.cuda.is_bf16_supported() says True on Turing and Pascal, where bfloat16 is emulated.
    has_bf16: bool
    # Arithmetic, not storage: on 6.1 it runs at 1/64 of the speed of float32.
    has_fast_fp16: bool
    has_tf32: bool
    # FlashAttention 2 wants Ampere; scaled_dot_product_attention of torch runs everywhere.
    has_flash_attention: bool
    # torch.compile demands 7.0.
    has_compile: bool
    # Triton lists 8.0 and newer, and Liger's kernels are written in it.
    has_triton: bool
    # bitsandbytes: 4-bit weights and 8-bit optimizers; products in 8 bits (LLM.int8) want integer tensor cores.
    has_four_bit: bool
    has_int8: bool


GENERATIONS = (
    #          since    name         bf16   fp16   tf32   flash  comp.  triton 4 bit  int8
    Generation((0, 0), "Maxwell", False, False, False, False, False, False, False, False),
    Generation((6, 0), "Pascal", False, True, False, False, False, False, True, False),
    Generation((6, 1), "Pascal", False, False, False, False, False, False, True, False),
    Generation((7, 0), "Volta", False, True, False, False, True, False, True, False),
    Generation((7, 5), "Turing", False, True, False, False, True, False, True, True),
    Generation((8, 0), "Ampere", True, True, True, True, True, True, True, True),
    Generation((8, 9), "Ada", True, True, True, True, True, True, True, True),
    Generation((9, 0), "Hopper", True, True, True, True, True, True, True, True),
    Generation((10, 0), "Blackwell", True, True, True, True, True, True, True, True),
)


class Card(NamedTuple):
    """A GPU that a run may be given: how it is called on the screen, and what it can do."""

    shown: str
    capability: Capability

    @property
    def rules(self) -> Generation:
        """The row of the table for this card."""
        return rules_for(self.capability)


class HardwareProblem(NamedTuple):
    """Why a setting should not be used here, and what to write instead."""

    text: str
    suggestion: str
    # What merely is slow here, or what only GPUs lack that the run may not be given, is the user's choice.
    is_error: bool = True


def rules_for(capability: Capability) -> Generation:
    """The row of the table for a compute capability."""
    return max((row for row in GENERATIONS if row.since <= capability), key=lambda row: row.since)


def best_precision(capabilities: list[Capability]) -> Precision | None:
    """The 16-bit precision that all of these compute in fast, bf16 before fp16; None means float32."""
    rows = [rules_for(capability) for capability in capabilities]
    if rows and all(row.has_bf16 for row in rows):
        return "bf16"
    return "fp16" if rows and all(row.has_fast_fp16 for row in rows) else None


def chosen_cards(gpus: int | str | list[int]) -> list[Card]:
    """The GPUs that a run with these ``run.gpus`` may be given; reads NVML."""
    from fttui_engine.hardware.gpus import read_gpus

    return [
        Card(f"GPU {gpu.index} ({gpu.name})", gpu.compute_capability)
        for gpu in read_gpus().gpus
        if gpu.compute_capability is not None and (not isinstance(gpus, list) or gpu.index in gpus)
    ]


def precision_problem(key: str, gpus: int | str | list[int] | None) -> HardwareProblem | None:
    """What is wrong with switching ``key`` on for these GPUs (as in ``run.gpus``); None for gpus means the CPU."""
    cards = [] if gpus is None else chosen_cards(gpus)
    if gpus is None or not cards:
        return _problem_on_cpu(key)
    lacking = [card for card in cards if not _can(key, card.rules)]
    if not lacking:
        return None
    if key == "fp16":
        text = (
            f"fp16 arithmetic runs at 1/64 of the speed of float32 on {_names(lacking)}; leave it out there: "
            "computing in float32 is the fast way, and quantization_bit: 4 saves the memory."
        )
        return HardwareProblem(text, "fp16: false", is_error=False)
    is_error = _concerns_the_run(gpus, cards, lacking)
    if key == "tf32":
        text = f"tf32 needs compute capability 8.0 (Ampere) or newer, which {_names(lacking)} {_lack(lacking)}; leave it out."
        return HardwareProblem(text, "tf32: false", is_error)
    return HardwareProblem(*_without_bf16(key, cards, lacking), is_error)


def quantization_problem(bits: int, gpus: int | str | list[int]) -> HardwareProblem | None:
    """Why these GPUs (as in ``run.gpus``) cannot train on weights of 4 or 8 bits; None if they can."""
    cards = chosen_cards(gpus)
    lacking = [card for card in cards if not (card.rules.has_int8 if bits == 8 else card.rules.has_four_bit)]
    if not lacking:
        return None
    is_error = _concerns_the_run(gpus, cards, lacking)
    if bits == 8:
        text = (
            "8-bit products (LLM.int8) need compute capability 7.5 (Turing) or newer, which "
            f"{_names(lacking)} {_lack(lacking)}; 4-bit weights work from 6.0 on: use quantization_bit: 4."
        )
        return HardwareProblem(text, "quantization_bit: 4", is_error)
    text = (
        f"4-bit weights need compute capability 6.0 (Pascal) or newer, which {_names(lacking)} {_lack(lacking)}; leave "
        "quantization_bit out and take a smaller model."
    )
    return HardwareProblem(text, "quantization_bit: null", is_error)


def attention_problem(gpus: int | str | list[int]) -> HardwareProblem | None:
    """Why FlashAttention 2 cannot be used on these GPUs; None if it can."""
    cards = chosen_cards(gpus)
    lacking = [card for card in cards if not card.rules.has_flash_attention]
    if not lacking:
        return None
    text = (
        f"FlashAttention 2 has no kernels for {_names(lacking)}: it needs compute capability 8.0 (Ampere) or newer; "
        "use flash_attn: sdpa, whose memory-efficient kernel runs there."
    )
    return HardwareProblem(text, "flash_attn: sdpa", _concerns_the_run(gpus, cards, lacking))


def _without_bf16(key: str, cards: list[Card], lacking: list[Card]) -> tuple[str, str]:
    """What to say, and what to write, where some of the cards have no bfloat16."""
    text = (
        f"{key} needs compute capability 8.0 (Ampere) or newer, which {_names(lacking)} {_lack(lacking)}: "
        "torch would not refuse it but emulate it, slower than float32."
    )
    if best_precision([card.capability for card in cards]) == "fp16":
        mixed = " The other cards have fp16 as well." if len(lacking) < len(cards) else ""
        return (
            f"{text} What it computes fast in 16 bits is fp16: use fp16: true, {key}: false.{mixed}",
            "fp16: true",
        )
    return (
        f"{text} fp16 is no way out either: its arithmetic runs at 1/64 of the speed there. Leave both out and compute in "
        "float32; quantization_bit: 4 with a small cutoff_len saves the memory.",
        f"{key}: false",
    )


def _concerns_the_run(gpus: int | str | list[int], cards: list[Card], lacking: list[Card]) -> bool:
    """Whether the run is certain to be given one of the cards that lack something."""
    if isinstance(gpus, list):
        return True
    wanted = gpus if isinstance(gpus, int) else 1
    return len(cards) - len(lacking) < wanted


def _names(cards: list[Card]) -> str:
    if len(cards) <= 2:
        return " and ".join(card.shown for card in cards)
    return f"{cards[0].shown} and {len(cards) - 1} others"


def _lack(cards: list[Card]) -> str:
    return "does not have" if len(cards) == 1 else "do not have"


def _can(key: str, rules: Generation) -> bool:
    match key:
        case "bf16" | "pure_bf16":
            return rules.has_bf16
        case "tf32":
            return rules.has_tf32
        case _:
            return rules.has_fast_fp16


def _problem_on_cpu(key: str) -> HardwareProblem | None:
    match key:
        case "fp16":
            return HardwareProblem("fp16 needs a GPU, and this run has none; use bf16: true.", "bf16: true")
        case "tf32":
            text = "tf32 has no effect, because this run has no GPU."
            return HardwareProblem(text, "tf32: false", is_error=False)
        case _:
            # torch computes bfloat16 on every CPU, slowly on those without instructions for it.
            return None
