"""How near written answers are to the right ones: ROUGE and BLEU, under the names that LLaMA-Factory gives them."""

import re
from collections.abc import Sequence
from typing import Any

from fttui_engine.train.errors import EvaluationError

INSTALL_LINE = 'pip install "fttui[metrics]"'
# Han, kana and Hangul are written without spaces between words, so that each sign is a token.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\W_]+", re.UNICODE)
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


class WordTokens:
    """The tokenizer that rouge-score is given; its own one knows only the letters of English."""

    def tokenize(self, text: str) -> list[str]:
        """Return words in small letters, and each sign of a script without spaces by itself."""
        return [token for word in _TOKEN.findall(text.lower()) for token in _signs(word)]


def _signs(word: str) -> list[str]:
    return list(word) if _UNSPACED.search(word) else [word]


def text_scores(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return means over all answers, in percent; raises EvaluationError where the packages are not installed.

    ``predict_bleu-4`` is the mean of each answer's BLEU over characters, as in LLaMA-Factory but for white space;
    ``predict_bleu_corpus`` is sacrebleu's usual one, over words (over signs in Chinese, Japanese and Korean).
    """
    try:
        from rouge_score import rouge_scorer  # type: ignore[import-untyped]
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise EvaluationError(
            f"the answers are not measured: {error.name} is missing", INSTALL_LINE
        ) from error
    names = ("rouge1", "rouge2", "rougeL")
    scorer: Any = rouge_scorer.RougeScorer(names, tokenizer=WordTokens())
    sums = dict.fromkeys(names, 0.0)
    by_character: Any = BLEU(tokenize="char", smooth_method="exp")
    characters = 0.0
    for answer, reference in zip(answers, references, strict=True):
        found = scorer.score(reference, answer)
        for name in names:
            sums[name] += found[name].fmeasure
        # Not sentence_bleu: it advises against this form with a line for every answer.
        characters += by_character.corpus_score([answer], [[reference]]).score
    count = len(answers)
    unspaced = any(_UNSPACED.search(reference) for reference in references)
    corpus = BLEU(tokenize="char" if unspaced else "13a").corpus_score(list(answers), [list(references)])
    return {
        "predict_bleu-4": characters / count,
        "predict_bleu_corpus": corpus.score,
        "predict_rouge-1": 100 * sums["rouge1"] / count,
        "predict_rouge-2": 100 * sums["rouge2"] / count,
        "predict_rouge-l": 100 * sums["rougeL"] / count,
    }
