"""Measures what share of the local judges' findings survives disguises, and how often harmless text is found.

    python benchmarks/disguises.py METRIC ROWS.jsonl... [--part N/M] [--only DISGUISE ...] [--show N]

Rows are those of `qualitrace judge`. A finding is a value below the judge's pass mark. It survives if the disguised
row's value is below the mark too and a failed row still fails. The disguises are written without the judges' own
tables, so that what one forgets the other does not.
"""

import argparse
import base64
import codecs
import json
import random
import re
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Judge, NotApplicable, Score
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.rows.cells import passages_in

Disguise = Callable[[str, random.Random], str]

_LOOKALIKES = {
    "a": "аα", "b": "Ь", "c": "сϲ", "d": "ԁ", "e": "еҽ", "g": "ɡց", "h": "һ", "i": "іι", "j": "ј", "k": "κк",
    "l": "ӏ", "n": "ոп", "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "u": "սυ", "v": "νѵ", "w": "ԝ",
    "x": "хχ", "y": "уγ", "A": "АΑ", "B": "ВΒ", "C": "С", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ", "J": "Ј", "K": "КΚ",
    "M": "МΜ", "N": "Ν", "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "ҮΥ", "Z": "Ζ",
}  # fmt: skip
_BLANKS = ("  ", "\u00a0", "\t", "\u2003 ", "   ")
_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "l": "1"}
_DOTS = {"a": "äáàâ", "e": "ëéèê", "i": "ïíìî", "o": "öóòô", "u": "üúùû", "y": "ÿý", "n": "ñ", "c": "ç"}
_SMALL_CAPITALS = dict(zip("abcdefghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ", strict=True))
_TURNED = dict(zip("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", strict=True))


def _each(text: str, chance: random.Random, table: dict[str, str], share: float) -> str:
    return "".join(chance.choice(table[c]) if c in table and chance.random() < share else c for c in text)


def _between(text: str, chance: random.Random, signs: Sequence[str], share: float = 1.0) -> str:
    """Put a sign between letters that stand side by side."""
    return re.sub(r"(?<=\w)(?=\w)", lambda _: chance.choice(signs) if chance.random() < share else "", text)


def _letters_apart(text: str, sign: str, between_words: str) -> str:
    return between_words.join(sign.join(word) for word in text.split())


def _shifted(text: str, capital: int, small: int, digit: int = 0) -> str:
    def moved(c: str) -> str:
        for first, alphabet in (
            (capital, string.ascii_uppercase),
            (small, string.ascii_lowercase),
            (digit, "0123456789"),
        ):
            if c in alphabet and first:
                return chr(first + alphabet.index(c))
        return c

    return "".join(map(moved, text))


def _wrapped(text: str, _: random.Random) -> str:
    return re.sub(r" +", "\n", text)


def _broken(text: str, chance: random.Random) -> str:
    def cut(match: re.Match[str]) -> str:
        at = chance.randrange(2, len(match[0]) - 1)
        return match[0][:at] + "-\n" + match[0][at:]

    return re.sub(r"[A-Za-z]{5,}", cut, text)


def _stretched(text: str, chance: random.Random) -> str:
    return re.sub(
        r"[A-Za-z]{3,}",
        lambda match: (
            match[0][:-1] + match[0][-1] * chance.randrange(3, 6)
            if match[0][-1] not in "aeiou"
            else match[0][:-2] + match[0][-2] * chance.randrange(3, 6) + match[0][-1]
        ),
        text,
    )


def _emphasised(sign_in: str, sign_out: str) -> Disguise:
    def disguise(text: str, chance: random.Random) -> str:
        def marked(match: re.Match[str]) -> str:
            word, at = match[0], chance.randrange(1, len(match[0]) - 1)
            return f"{word[:at]}{sign_in}{word[at : at + 2]}{sign_out}{word[at + 2 :]}"

        return re.sub(r"[A-Za-z]{3,}", marked, text)

    return disguise


DISGUISES: dict[str, Disguise] = {
    "zero width": lambda text, chance: _between(text, chance, "\u200b\u200c\u200d\u2060\ufeff"),
    "soft hyphens": lambda text, chance: _between(text, chance, "\u00ad", 0.5),
    "variation selectors": lambda text, chance: _between(text, chance, "\ufe0f\U000e0101\U000e0061\u034f", 0.6),
    "homoglyphs": lambda text, chance: _each(text, chance, _LOOKALIKES, 0.5),
    "all homoglyphs": lambda text, chance: _each(text, chance, _LOOKALIKES, 1.0),
    "leet": lambda text, chance: _each(text, chance, _LEET, 0.5),
    "all leet": lambda text, chance: _each(text, chance, _LEET, 1.0),
    "spaced": lambda text, _: _letters_apart(text, " ", "   "),
    "spaced flat": lambda text, _: _letters_apart(text, " ", " "),
    "dotted": lambda text, _: _letters_apart(text, ".", " "),
    "dashed": lambda text, _: _letters_apart(text, "-", " "),
    "underscored": lambda text, _: _letters_apart(text, "_", " "),
    "a word a line": _wrapped,
    "broken at lines": _broken,
    "wide blanks": lambda text, chance: re.sub(" ", lambda _: chance.choice(_BLANKS), text),
    "struck through": lambda text, _: "".join(c + "\u0336" for c in text),
    "zalgo": lambda text, chance: "".join(
        c + "".join(chr(chance.randrange(0x300, 0x36F)) for _ in range(chance.randrange(4))) for c in text
    ),
    "full width": lambda text, _: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "mathematical": lambda text, _: _shifted(text, 0x1D400, 0x1D41A, 0x1D7CE),
    "circled": lambda text, _: _shifted(text, 0x24B6, 0x24D0),
    "squared": lambda text, _: _shifted(text.upper(), 0x1F170, 0),
    "flags": lambda text, _: _shifted(text.upper(), 0x1F1E6, 0),
    "small capitals": lambda text, _: "".join(_SMALL_CAPITALS.get(c, c) for c in text.lower()),
    "diacritics": lambda text, chance: _each(text, chance, _DOTS, 0.7),
    "stretched": _stretched,
    "bold in words": _emphasised("**", "**"),
    "html in words": _emphasised("<b>", "</b>"),
    "comments in words": _emphasised("<!-- x -->", ""),
    "entities": lambda text, chance: "".join(
        f"&#{ord(c)};" if c.isalnum() and chance.random() < 0.5 else c for c in text
    ),
    "reversed": lambda text, _: "\n".join(f"\u202e{line[::-1]}\u202c" for line in text.split("\n")),
    "bidi marks": lambda text, chance: _between(text, chance, ("\u200e", "\u2066", "\u2069", "\u202a\u202c"), 0.4),
    "upside down": lambda text, _: "".join(_TURNED.get(c, c) for c in reversed(text.lower())),
    "base64": lambda text, _: base64.b64encode(text.encode()).decode(),
    "rot13": lambda text, _: codecs.encode(text, "rot13"),
}  # fmt: skip


def disguised(sample: Sample, name: str, seed: int = 0) -> Sample:
    """Disguise each text of a sample."""
    chance = random.Random(f"{name} {seed}")
    change = DISGUISES[name]
    return replace(
        sample,
        inputs=change(sample.inputs, chance),
        outputs=change(sample.outputs, chance),
        passages=tuple(change(passage, chance) for passage in sample.passages),
    )


def read_rows(paths: Sequence[Path], part: tuple[int, int]) -> list[tuple[Sample, int]]:
    """Read each row's sample and label; of every `part[1]` rows the `part[0]`-th."""
    rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    samples: list[tuple[Sample, int]] = []
    for row in rows[part[0] % part[1] :: part[1]]:
        sample = Sample(inputs=row["input"], outputs=row["output"], passages=passages_in(row.get("context", "")))
        samples.append((sample, int(row.get("label", 1))))
    return samples


def scored(judge: Judge, sample: Sample) -> Score | None:
    """Judge a sample; None where the judge does not apply."""
    try:
        return judge.score(sample)
    except NotApplicable:
        return None


def main() -> None:
    """Print the share of findings that survive each disguise, the harmless rows that are found, and the CPU time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metric")
    parser.add_argument("rows", nargs="+", type=Path)
    parser.add_argument("--part", default="0/1", help="of every M rows the N-th: N/M")
    parser.add_argument("--only", nargs="*", help="these disguises alone")
    parser.add_argument("--show", type=int, default=0, help="so many lost findings of each disguise")
    arguments = parser.parse_args()
    judge = build_judge(JudgeConfig(name=arguments.metric))
    first, step = map(int, arguments.part.split("/"))
    rows = read_rows(arguments.rows, (first, step))

    def found(score: Score | None) -> bool:
        return score is not None and score.value < judge.pass_mark

    began = time.thread_time()
    plain = [scored(judge, sample) for sample, _ in rows]
    milliseconds = 1000 * (time.thread_time() - began) / len(rows)
    findings = [(sample, score) for (sample, _), score in zip(rows, plain, strict=True) if score and found(score)]
    harmless = [sample for sample, label in rows if label == 1]
    wrong = mean(found(score) for (_, label), score in zip(rows, plain, strict=True) if label == 1) if harmless else 0
    print(f"{len(rows)} rows, {len(findings)} findings, {wrong:.3f} of the harmless found, {milliseconds:.2f} ms a row")
    for name in arguments.only or DISGUISES:
        began = time.thread_time()
        lost: list[Sample] = []
        for number, (sample, score) in enumerate(findings):
            now = scored(judge, disguised(sample, name, number))
            if not (now and found(now) and (now.label == "fail" or score.label != "fail")):
                lost.append(sample)
        again = [found(scored(judge, disguised(sample, name, number))) for number, sample in enumerate(harmless)]
        milliseconds = 1000 * (time.thread_time() - began) / (len(findings) + len(harmless))
        survived = 1 - len(lost) / max(1, len(findings))
        print(
            f"  {name:20} survived {survived:.3f}  harmless found {mean(again or [0]):.3f}  {milliseconds:.2f} ms a row"
        )
        for sample in lost[: arguments.show]:
            print("    lost:", repr(sample.outputs[:200] or sample.inputs[:200]))


if __name__ == "__main__":
    main()
