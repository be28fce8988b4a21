"""Stage sft: conversations, of which the answers are learned."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.batches import Collator
from fttui_engine.train.data.dataset import Reader, Splits
from fttui_engine.train.data.formats import converter, detect_format
from fttui_engine.train.data.packing import Packs, pack_length, packs
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.data.templates import template_of
from fttui_engine.train.data.tokenise import ConversationTokeniser, Tokenised
from fttui_engine.train.errors import DataError

if TYPE_CHECKING:
    from fttui_engine.train.loop.trainer import WorkerTrainer

NEEDS_CHAT_TEMPLATE = True


class ConversationReader:
    """Turns records of the three forms of conversations into tokens."""

    def __init__(self, tokenise: ConversationTokeniser) -> None:
        self._tokenise = tokenise

    def for_source(
        self, source: Source, columns: Mapping[str, Any]
    ) -> tuple[str, Callable[[Row], Tokenised]]:
        """Return the form of a file's records and what turns one of them into tokens."""
        if source.ranking:
            raise DataError(
                f"{source.path} holds pairs of a better and a worse answer, and stage: sft learns single answers",
                "use stage: dpo or rm, or take ranking out of its entry in dataset_info.json",
            )
        formatting = detect_format(source, columns)
        convert = converter(source, formatting)
        return formatting, lambda row: self._tokenise(convert(row))


def reader(config: TrainingConfig, tokenizer: Any) -> Reader:
    """Return what turns conversations into tokens and labels."""
    return ConversationReader(conversation_tokeniser(config, tokenizer))


def conversation_tokeniser(config: TrainingConfig, tokenizer: Any) -> ConversationTokeniser:
    """Return what turns one conversation into tokens, as the configuration wants it."""
    return ConversationTokeniser(
        tokenizer,
        pack_length(config) if packs(config) else config.cutoff_len,
        template=template_of(tokenizer, config.template, config.enable_thinking),
        train_on_prompt=config.train_on_prompt,
        mask_history=config.mask_history,
        default_system=config.default_system,
    )


def arrange(splits: Splits, config: TrainingConfig, log: Callable[[str], None]) -> Splits:
    """Return the conversations side by side in common examples, if asked; evaluation stays as it is."""
    if not packs(config):
        return splits
    packed = Packs(splits.train, pack_length(config))
    tokens = sum(len(example.input_ids) for example in splits.train)
    log(
        f"data: {len(splits.train)} conversations packed into {len(packed)} examples of up to {config.cutoff_len} "
        f"tokens, {100 * tokens / (len(packed) * config.cutoff_len):.0f} % full; none sees another"
    )
    return splits._replace(train=packed)


def collator(config: TrainingConfig, tokenizer: Any) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return what pads examples to one length."""
    return Collator(tokenizer.pad_token_id)


def equip(model: Any, config: TrainingConfig) -> Any:
    """Return the model as it is."""
    return model


def trainer(config: TrainingConfig) -> "Callable[..., WorkerTrainer]":
    """Return the Trainer whose loss is the cross entropy of the labels, weighted where that is asked for."""
    from fttui_engine.train.loop.trainer import WorkerTrainer
    from fttui_engine.train.loop.weighted_loss import weighted_loss

    loss = weighted_loss(config) if config.stage == "sft" else None
    return partial(WorkerTrainer, compute_loss_func=loss) if loss else WorkerTrainer
