"""What became of the records of a data set, as the log and ``fttui data`` tell it."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from fttui_engine.train.data.tokenise import Tokenised


class Account:
    """Counts of records and tokens; kept with the prepared data, so that a second start says the same."""

    def __init__(self, name: str, cutoff_len: int) -> None:
        self.name = name
        self.formatting = "no records"
        self.rows = self.used = self.cut = self.history_unlearned = self.tokens = self.learned = 0
        self.dropped: Counter[str] = Counter()
        self._cutoff_len = cutoff_len

    def count(self, result: Tokenised) -> None:
        """Add one record."""
        self.rows += 1
        self.history_unlearned += result.history_unlearned
        if result.example is None:
            self.dropped[result.dropped] += 1
            return
        self.used += 1
        self.cut += result.was_cut
        self.tokens += result.example.token_count
        self.learned += result.example.learned_count

    def records(self) -> str:
        """Say how many records were used, and why the others were not."""
        used = f"{self.name} ({self.formatting}): {self.used} of {self.rows} records used"
        dropped = [f"{count} dropped ({reason})" for reason, count in self.dropped.most_common()]
        return ", ".join([used, *dropped])

    def report(self, log: Callable[[str], None]) -> None:
        """Say in the log what became of the records."""
        parts = [f"data: {self.records()}"]
        if self.cut:
            parts.append(f"{self.cut} cut to {self._cutoff_len} tokens")
        # Questions alone teach nothing; what is learned is written later.
        learned = f", {self.learned} of them learned" if self.learned else ""
        log(", ".join([*parts, f"{self.tokens} tokens{learned}"]))
        if self.dropped:
            reasons = "; ".join(f"{count}: {reason}" for reason, count in self.dropped.most_common())
            log(
                f"warning: {self.rows - self.used} of {self.rows} records of {self.name} are not learned ({reasons})"
            )
        if self.history_unlearned:
            log(
                f"warning: the chat template rewrites earlier answers, so {self.history_unlearned} conversations "
                "teach their last answer only"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON holds them."""
        counts = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {**counts, "dropped": dict(self.dropped)}

    @classmethod
    def from_json(cls, name: str, cutoff_len: int, counts: Mapping[str, Any]) -> "Account":
        """Return the account that ``to_json`` gave, of the same records under the name that they have now."""
        account = cls(name, cutoff_len)
        vars(account).update(counts, name=name, dropped=Counter(counts["dropped"]))
        return account
