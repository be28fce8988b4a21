"""The completion scripts. Runs are the folders of the state folder: listing them starts no Python (0 ms, not 100)."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fttui.cli.completions import Argument, Command

HOME: Final = '"${FTTUI_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/fttui}"'

BASH: Final = """\
# bash completion for fttui: eval "$(fttui completions bash)"
_fttui_runs() {
    local folder
    for folder in %(home)s/runs/*/; do
        [ -d "$folder" ] || continue
        folder=${folder%%/}
        printf '%%s\\n' "${folder##*/}"
    done
}
_fttui_offer() {
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done
}
_fttui_files() {
    compopt -o filenames 2>/dev/null
    _fttui_offer < <(compgen -f -- "$1")
}
_fttui() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb="" place=0 at word last words
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]} last=${COMP_WORDS[at-1]}
        case $word in -*) continue ;; esac
        if [ -z "$verb" ]; then
            case " $last" in %(main_takers)s) continue ;; esac
            verb=$word
            continue
        fi
        case "$verb $last" in %(takers)s) ;; *) place=$((place + 1)) ;; esac
    done
    case "$verb $before" in
%(values)s
    esac
    case $verb in
%(options)s
    esac
    case $cur in -*) _fttui_offer < <(compgen -W "$words" -- "$cur"); return ;; esac
    case "$verb $place" in
%(places)s
    esac
}
complete -F _fttui fttui
"""


def bash(commands: "Sequence[Command]") -> str:
    """Return the script for bash."""
    values, takers, main_takers = list[str](), list[str](), list[str]()
    options, places = list[str](), list[str]()
    for command in commands:
        spellings = " ".join(flag for option in command.options for flag in option.flags)
        name = command.name or '""'
        options.append(f'        {name}) words="{spellings}" ;;')
        for option in command.options:
            if option.kind == "none":
                continue
            pattern = "|".join(f'"{command.name} {flag}"' for flag in option.flags)
            (takers if command.name else main_takers).append(pattern)
            values.append(f"        {pattern}) {_bash_offer(option)}; return ;;")
        for number, place in enumerate(command.places):
            places.append(f'        "{command.name} {number}") {_bash_offer(place)} ;;')
    verbs = " ".join(command.name for command in commands if command.name)
    places.append(f'        " 0") _fttui_offer < <(compgen -W "{verbs}" -- "$cur") ;;')
    options.append("        *) return ;;")
    return BASH % {
        "home": HOME,
        "values": "\n".join(values),
        "takers": "|".join(takers) or '""',
        "main_takers": "|".join(main_takers) or '""',
        "options": "\n".join(options),
        "places": "\n".join(places),
    }


def _bash_offer(argument: "Argument") -> str:
    runs = '_fttui_offer < <(compgen -W "$(_fttui_runs)" -- "$cur")'
    match argument.kind:
        case "words":
            return f'_fttui_offer < <(compgen -W "{" ".join(argument.words)}" -- "$cur")'
        case "run":
            return runs
        case "file":
            return '_fttui_files "$cur"'
        case "run or file":
            return f'{runs}; _fttui_files "$cur"'
        case _:
            return ":"


ZSH: Final = """\
#compdef fttui
# zsh completion for fttui: eval "$(fttui completions zsh)", behind compinit
_fttui_runs() {
    local -a runs
    runs=(%(home)s/runs/*(N/:t))
    compadd -a runs
}
_fttui_runs_or_files() { _fttui_runs; _files }
_fttui() {
    local -a verbs
    verbs=(
%(verbs)s
    )
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _describe verb verbs
        return
    fi
    case $words[2] in
%(cases)s
    esac
}
compdef _fttui fttui
"""


def zsh(commands: "Sequence[Command]") -> str:
    """Return the script for zsh."""
    verbs, cases = [], []
    for command in commands:
        specs = [_zsh_option(option) for option in command.options]
        specs += [f"'{number}:{_zsh_value(place)}'" for number, place in enumerate(command.places, 1)]
        if command.name:
            verbs.append(f"        '{command.name}:{_quoted(command.help)}'")
        shift = "shift words; (( CURRENT-- )); " if command.name else ""
        cases.append(f"        {command.name or '*'}) {shift}_arguments -s {' '.join(specs)} ;;")
    # The pattern that takes everything comes last.
    cases = [*cases[1:], cases[0]]
    return ZSH % {"home": HOME, "verbs": "\n".join(verbs), "cases": "\n".join(cases)}


def _zsh_option(option: "Argument") -> str:
    text = _quoted(option.help).replace("[", "\\[").replace("]", "\\]")
    value = "" if option.kind == "none" else f":{_zsh_value(option)}"
    return " ".join(f"'*{flag}[{text}]{value}'" for flag in option.flags)


def _zsh_value(argument: "Argument") -> str:
    action = {
        "words": f"({' '.join(argument.words)})",
        "run": "_fttui_runs",
        "file": "_files",
        "run or file": "_fttui_runs_or_files",
    }.get(argument.kind, " ")
    return f"{(argument.flags or ('value',))[0].lstrip('-')}:{action}"


FISH: Final = """\
# fish completion for fttui: fttui completions fish | source
function __fttui_runs
    set -l home $HOME/.local/state/fttui
    set -q XDG_STATE_HOME; and set home $XDG_STATE_HOME/fttui
    set -q FTTUI_HOME; and set home $FTTUI_HOME
    for folder in $home/runs/*/
        basename $folder
    end
end
function __fttui_at_verb
    set -l words (commandline -opc)
    test (count $words) -eq 1
end
function __fttui_in
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end
complete -c fttui -f
"""


def fish(commands: "Sequence[Command]") -> str:
    """Return the script for fish."""
    lines = []
    for command in commands:
        if command.name:
            lines.append(
                f"complete -c fttui -n __fttui_at_verb -a {command.name} -d '{_quoted(command.help)}'"
            )
        condition = f"-n '__fttui_in {command.name}'" if command.name else "-n __fttui_at_verb"
        for option in command.options:
            flags = " ".join(
                f"-l {each[2:]}" if each.startswith("--") else f"-s {each[1:]}" for each in option.flags
            )
            lines.append(
                f"complete -c fttui {condition} {flags} -d '{_quoted(option.help)}'{_fish_value(option)}"
            )
        lines += [
            f"complete -c fttui {condition}{_fish_value(place)}"
            for place in command.places
            if _fish_value(place)
        ]
    return FISH + "\n".join(lines) + "\n"


def _fish_value(argument: "Argument") -> str:
    takes = " -r" if argument.flags else ""
    match argument.kind:
        case "words":
            return f"{takes} -a '{' '.join(argument.words)}'"
        case "run":
            return f"{takes} -a '(__fttui_runs)'"
        case "file":
            return f"{takes} -F"
        case "run or file":
            return f"{takes} -F -a '(__fttui_runs)'"
        case _:
            return takes


def _quoted(text: str) -> str:
    """Return a help text as all three shells take it between single quotes."""
    return text.replace("%%", "%").replace("'", "").replace(":", ",")


WRITERS: "Final[dict[str, Callable[[Sequence[Command]], str]]]" = {"bash": bash, "zsh": zsh, "fish": fish}
"""The shells that can be written for."""
