"""Sentences from below the screen, in the visitor's language.

Extractors speak English and know no catalogue. What they say is listed here with its placeholders, so that a sentence
can be recognised, its numbers and names taken out, and the translation filled with them.
"""

from __future__ import annotations

import functools
import re
from string import Formatter

from app.i18n.translate import N_, _

SENTENCES = (
    # Why a modality is absent.
    N_("no audio stream"),
    N_("no video stream"),
    N_("no face found"),
    N_("no speech"),
    N_("the sound is too short"),
    N_("the sound is silent"),
    N_("the sound could not be analysed"),
    N_("the picture could not be decoded"),
    # Notes on a result.
    N_("The words' times are estimated: the typed words share the stretches of voice by their length."),
    N_("The words' times are estimated: too little voice was found, so the typed words share the whole clip."),
    N_("The words' times come from the subtitles; the words of a cue share its time by their length."),
    N_("{count} subtitles begin after the end of the clip and are left out."),
    N_("Only the first {count} recognised words are used."),
    N_("Speech was recognised by {model} on {device} ({type})."),
    N_(
        "The speech is not English (detected language: {language}); the transcript is a machine translation. The times "
        "of its words are rough, and so are the alignment maps."
    ),
    N_("Up to {count} faces were seen at once; the one whose lips move as in speech is followed, else the largest."),
    # Why a file or a transcript is not taken.
    N_("This file is empty."),
    N_("This file has {size} MB; the limit is {limit} MB. Use a shorter or more strongly compressed clip."),
    N_("The picture has {width} x {height} pixels; the limit is {limit} million. Use a clip of 4K or less."),
    N_("This clip is longer than {limit} seconds, which is the limit. Cut it and try again."),
    N_("This clip has more than {limit} pictures, which is the limit. Cut it and try again."),
    N_("This file is not a video or sound that can be read. Use MP4, WebM, MOV, MKV, AVI or MPEG."),
    N_("This file holds neither sound nor moving pictures that can be decoded."),
    N_("Nothing in this file could be decoded. It may be damaged."),
    N_("The transcript has {count} characters; the limit is {limit}. Give only what is said in the clip."),
    N_("The transcript has {count} words; the limit is {limit}. Give only what is said in the clip."),
    N_("The transcript holds no word. Type what is said, or leave it empty to have it recognised."),
    N_("The subtitles hold no timing, expected lines such as 00:00:01.000 --> 00:00:02.000."),
    N_("All subtitles begin after the end of the clip ({limit} s). Do they belong to it?"),
    N_("The subtitles hold no word. Give others, or leave them out to have speech recognised."),
)


def told(sentence: str) -> str:
    """Translate a sentence of an extractor; one that is not listed stays as it was said."""
    for template, pattern in _patterns():
        if (found := pattern.fullmatch(sentence)) is not None:
            return _(template).format(**found.groupdict())
    return sentence


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((template, re.compile(_pattern(template), re.DOTALL)) for template in SENTENCES)


def _pattern(template: str) -> str:
    parts = Formatter().parse(template)
    return "".join(re.escape(text) + (f"(?P<{name}>.+?)" if name else "") for text, name, _spec, _conversion in parts)
