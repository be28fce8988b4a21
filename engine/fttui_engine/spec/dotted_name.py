"""The name of a function of the user's: ``package.module.function``, or ``file.py:function``."""


def split_dotted_name(name: str) -> tuple[str, str]:
    """Return the module (or the path of its file) and the function; either may be empty where the name is wrong."""
    separator = ":" if ":" in name else "."
    module, _, function = name.rpartition(separator)
    return module, function
