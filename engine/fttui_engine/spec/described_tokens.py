"""The file that ``new_special_tokens_config:`` names: new marks, each with what it stands for."""

from pathlib import Path

from fttui_engine.errors import WrongRequestError

LARGEST_FILE_BYTES = 1_000_000


def read_described_tokens(path: str) -> dict[str, str]:
    """Return the description of each mark, in the order of the file; raises WrongRequestError."""
    import yaml

    hint = "it is a YAML file with a line for each mark, such as: '<think>': the beginning of a thought"
    try:
        if Path(path).stat().st_size > LARGEST_FILE_BYTES:
            raise WrongRequestError(f"{path} is too large to be a list of new tokens", hint)
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongRequestError(f"{path} cannot be read: {error.strerror or error}", hint) from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WrongRequestError(f"{path} is no YAML: {reason}", hint) from error
    texts = isinstance(content, dict) and all(
        isinstance(mark, str) and isinstance(words, str) for mark, words in content.items()
    )
    if not texts or not content:
        raise WrongRequestError(f"{path} does not describe new tokens", hint)
    return dict(content)
