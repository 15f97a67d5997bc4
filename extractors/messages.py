"""Messages for the user: a code and its values; the English sentence is made from one table of templates.

Whoever shows them in another language translates the template and fills it with the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from types import MappingProxyType
from typing import Any

Value = str | int | float


def N_(template: str) -> str:  # noqa: N802  # gettext's own name for it
    """Mark a template for the catalogues of translations."""
    return template


TEMPLATES: Mapping[str, str] = {
    # Why a modality is absent.
    "no_audio_stream": N_("no audio stream"),
    "no_video_stream": N_("no video stream"),
    "no_face": N_("no face found"),
    "mouth_covered": N_("the mouth is covered"),
    "no_speech": N_("no speech"),
    "audio_too_short": N_("the sound is too short"),
    "audio_silent": N_("the sound is silent"),
    "audio_not_analysed": N_("the sound could not be analysed"),
    "video_not_decoded": N_("the picture could not be decoded"),
    "nothing_observed": N_("nothing observed there"),
    # Notes on a result.
    "times_from_voice": N_(
        "The words' times are estimated: the typed words share the stretches of voice by their length."
    ),
    "times_from_clip": N_(
        "The words' times are estimated: too little voice was found, so the typed words share the whole clip."
    ),
    "times_from_subtitles": N_(
        "The words' times come from the subtitles; the words of a cue share its time by their length."
    ),
    "spans_excluded": N_(
        "{count} span(s) of the clip, {seconds} s in all, are excluded; what describes the voice or the face as a "
        "whole was measured with them."
    ),
    "words_from_tier": N_("The words and their times come from a tier of an annotation file."),
    "words_corrected": N_(
        "The words were corrected by hand; words that stayed kept their times, others share those they replace."
    ),
    "subtitles_left_out": N_("{count} subtitle(s) beginning after the end of the clip are left out."),
    "subtitles_unplaced": N_(
        "{count} part(s) of the subtitles could not be placed, the first in line {line}: their time is missing, cannot "
        "be read, or ends before it begins. Their words are left out."
    ),
    "subtitles_sounds_left_out": N_(
        "{count} subtitle(s) with sounds described in brackets: what stands in brackets is left out, as nobody says it."
    ),
    "subtitles_frames_counted": N_(
        "The subtitles count frames and state no frame rate; {rate} frames per second are assumed."
    ),
    "recognised_words_left_out": N_("Only the first {count} recognised words are used."),
    "recogniser_used": N_("Speech was recognised by {model} on {device} ({type})."),
    "recogniser_not_on_gpu": N_("Speech was recognised on the CPU, because the GPU failed: {error}"),
    "speech_translated": N_(
        "The speech is not English (detected language: {language}); the transcript is a machine translation. The times "
        "of its words are rough, and so are the alignment maps."
    ),
    "speech_partly_translated": N_(
        "{seconds} s of the speech, from {start} s on, are not English (detected language: {language}); their "
        "transcript is a machine translation. The times of its words are rough, and so are the alignment maps."
    ),
    "transcript_foreign_replaced": N_(
        "The given transcript is not English (detected language: {language}), and the text encoder reads English only; "
        "the words recognised in the clip are used instead."
    ),
    "transcript_partly_foreign": N_(
        "About {share} % of the given transcript is not English (detected language: {language}); the text encoder "
        "reads English only, so these words say little to it."
    ),
    "several_faces": N_(
        "Up to {count} faces were seen at once; the one whose lips move as in speech is followed, else the largest."
    ),
    "speakers_told_apart": N_(
        "{count} speakers were told apart by their voices; who says what may be wrong, above all where they interrupt "
        "each other. The face is the one that was followed in each moment, which need not be the speaker's."
    ),
    "speakers_alike": N_("Two of the voices are much alike: they may be one person's."),
    "speakers_unclear": N_(
        "{count} word(s) could not be given to a speaker: voices overlap there, or speech is too short to tell."
    ),
    "video_turned": N_("The video is not upright; it was turned clockwise by {degrees} degrees to look for faces."),
    "mouth_covered_noted": N_(
        "The mouth is covered, as by a mask, a hand or a microphone, in {share} % of the frames with a face; these "
        "count as frames without one."
    ),
    "face_turned_away": N_("In {share} % of the frames a face is turned away too far to be read."),
    "face_in_the_dark": N_("In {share} % of the frames no face is found, as they are very dark."),
    "face_overexposed": N_("In {share} % of the frames no face is found, as they are overexposed."),
    "face_small": N_("In {share} % of the frames a face is too small to be read. Use a clip that shows it larger."),
    "face_unclear": N_("In {share} % of the frames a face is seen but too unclear or too far covered to be read."),
    "face_not_always_there": N_("In {share} % of the frames no face is found."),
    "several_audio_tracks": N_(
        "The file has {count} sound tracks; track {track} is used, as it holds the most speech or is the default one."
    ),
    "audio_track_asked": N_("The file has {count} sound tracks; track {track} is used, as was asked for."),
    "caption_tracks_there": N_(
        "The file has {count} caption track(s) ({languages}); they are not used unless one is asked for."
    ),
    "caption_track_used": N_("The words come from caption track {track} of {count} in the file ({language})."),
    "audio_channels_cancel": N_("The two channels of the sound cancel each other; only one of them is used."),
    "audio_times_wrong": N_("Some time stamps of the sound are off by minutes; it is taken to run without a break."),
    "audio_narrow": N_("The sound holds nothing above 4 kHz, as over a telephone; the voice is less reliable."),
    "audio_noisy": N_(
        "There is music or noise beside the speech (signal-to-noise ratio about {ratio} dB); the voice is less "
        "reliable."
    ),
    "clip_ends_early": N_("The file ends early, at {second} s; what should follow is missing."),
    "audio_damaged": N_("The sound is damaged: {count} part(s) could not be decoded and were skipped."),
    "video_damaged": N_("The picture is damaged: {count} part(s) could not be decoded and were skipped."),
    "audio_format_skipped": N_(
        "{count} part(s) of the sound were skipped: they have more than {channels} channels or {rate} kHz."
    ),
    "audio_not_finite": N_("Some of the sound is not a number; it counts as silence."),
    # Why a file cannot be used as a clip.
    "file_not_found": N_("There is no such file."),
    "audio_track_missing": N_("There is no sound track {track}; the file has {count}."),
    "caption_track_missing": N_(
        "There is no caption track {track}; the file has {count} that hold text. Tracks of bitmaps are not read."
    ),
    "captions_given_twice": N_("Give a transcript, a caption file, or a caption track of the file, not several."),
    "file_empty": N_("This file is empty."),
    "file_too_large": N_(
        "This file has {size} MB; the limit is {limit} MB. Use a shorter or more strongly compressed clip."
    ),
    "frame_too_large": N_(
        "The picture has {width} x {height} pixels; the limit is {limit} million. Use a clip of 4K or less."
    ),
    "clip_too_long": N_("This clip is longer than {limit} seconds, which is the limit. Cut it and try again."),
    "too_many_frames": N_("This clip has more than {limit} pictures, which is the limit. Cut it and try again."),
    "file_unreadable": N_("This file is not a video or sound that can be read. Use MP4, WebM, MOV, MKV, AVI or MPEG."),
    "no_streams": N_("This file holds neither sound nor moving pictures that can be decoded."),
    "nothing_decoded": N_("Nothing in this file could be decoded. It may be damaged."),
    "clip_took_too_long": N_("This clip took longer than {limit} s and was stopped."),
    "clip_needs_memory": N_(
        "This clip needs more memory than a clip may use and was stopped. Use a shorter or smaller one."
    ),
    "clip_needs_cpu": N_("This clip needs more computing time than a clip may use and was stopped."),
    "export_too_large": N_("The clip with its overlay would be larger than {limit} MB, which is the limit."),
    "clip_crashed": N_("This clip made the extraction crash. It may be damaged; convert it to MP4 and try again."),
    # Why a transcript or subtitles cannot be used.
    "transcript_too_long": N_(
        "The transcript has {count} characters; the limit is {limit}. Give only what is said in the clip."
    ),
    "transcript_too_many_words": N_(
        "The transcript has {count} words; the limit is {limit}. Give only what is said in the clip."
    ),
    "transcript_empty": N_("The transcript holds no word. Type what is said, or leave it empty to have it recognised."),
    "transcript_foreign": N_(
        "The transcript is not English (detected language: {language}), and no speech was recognised in the clip that "
        "could be translated. Give an English translation of what is said."
    ),
    "words_foreign": N_(
        "These words are not English (detected language: {language}), and the text encoder reads English only. Correct "
        "them in English."
    ),
    "transcript_times_disordered": N_(
        "The transcript's times are not in order: starts must not fall, and end >= start."
    ),
    "subtitles_too_long": N_(
        "The subtitles have {count} characters; the limit is {limit}. Give only those of the clip."
    ),
    "subtitles_too_many_words": N_(
        "The subtitles have more than {limit} words within the clip. Give only what is said in it."
    ),
    "subtitles_empty": N_("The subtitles hold no word. Give others, or leave them out to have speech recognised."),
    "subtitles_untimed": N_("The subtitles hold no timing, expected lines such as 00:00:01.000 --> 00:00:02.000."),
    "subtitles_after_end": N_("All subtitles begin after the end of the clip ({limit} s). Do they belong to it?"),
    "subtitles_line_unreadable": N_(
        "Line {line} of the subtitles is no timing that can be read, expected one such as 00:00:01.000 --> "
        "00:00:02.000."
    ),
    "subtitles_line_untimed": N_("Line {line} of the subtitles has no time."),
    "subtitles_format_not_read": N_(
        "This looks like captions in the format {format}, which is not read. Save them as SRT or WebVTT."
    ),
    "subtitles_format_unknown": N_(
        "This looks like captions, as many of its lines hold times, but in no format that is read. Save them as SRT or "
        "WebVTT, or give the words alone."
    ),
    "subtitles_damaged": N_("These captions look like {format} but cannot be read. Save them as SRT or WebVTT."),
    "subtitles_bytes_unreadable": N_("The captions cannot be read as text. Save them as SRT or WebVTT, in UTF-8."),
    "subtitles_line_reversed": N_("Line {line} of the subtitles ends before it begins ({start} s --> {end} s)."),
    # Why a model file cannot be had.
    "asset_unknown": N_("asset: {name}, expected one of {names}"),
    "asset_file_damaged": N_(
        "The {title} file {path} is damaged (its SHA-256 is not the publisher's). Put the publisher's file there "
        "({url}), or unset {variable} to have it downloaded."
    ),
    "asset_file_missing": N_(
        "The {title} file {path} is missing. Put the publisher's file there ({url}), or unset {variable} to have it "
        "downloaded."
    ),
    "asset_not_fetched": N_(
        "The {title} ({files}) could not be fetched: {reasons}. Check the internet connection and the free disk space "
        "and try again, or put the files into a folder of your own as {path} and set {variable}=FOLDER."
    ),
    "recogniser_unreadable": N_("The speech recogniser in {source} cannot be read: {error}"),
    "recogniser_incomplete": N_(
        "The speech recogniser {source} has no {file}. Name one of {names} that recognises speech, or a folder with a "
        "Whisper model in CTranslate2's format."
    ),
    "recogniser_not_loaded": N_("The speech recogniser {source} cannot be loaded: {error}"),
    "encoder_unreadable": N_("The text encoder in {source} cannot be read: {error}"),
    "encoder_incomplete": N_(
        "The text encoder {source} has no {file}. Name a folder with {files}, or fetch one from the hub first."
    ),
    "encoder_not_loaded": N_("The text encoder in {source} cannot be loaded: {error}"),
    "encoder_not_fetched": N_(
        "The text encoder {name} could not be fetched: {error}. Check its name and the connection."
    ),
    "encoder_of_other_type": N_("The text encoder in {source} is of type {type}, expected one of {expected}."),
    "encoder_config_unreadable": N_("{path} cannot be read: {error}"),
    "encoder_without_size": N_("{path} has no size of the hidden states, expected a whole number."),
    "tokenizer_of_other_kind": N_("The tokenizer in {source} puts {count} tokens around a sentence, expected 2."),
    # Annotation files.
    "annotation_unknown": N_("This is no annotation file that can be read; expected an ELAN (EAF) or a TextGrid file."),
    "annotation_too_large": N_("The annotation file has more than {limit} MB."),
    "annotation_too_many": N_("The annotation file has too many entries; the limit is {limit}."),
    "annotation_damaged": N_("The {kind} file cannot be read: it is damaged or no such file."),
    "annotation_entities": N_("The ELAN file has a document type or entities, which are not read."),
    "annotation_empty": N_("The annotation file holds nothing that lies within the clip."),
}
"""Code -> English template; the placeholders name a message's values."""


@dataclass(frozen=True)
class Message:
    """A sentence for the user, as a code and its values.

    >>> message = Message("clip_too_long", {"limit": 120})
    >>> print(message)
    This clip is longer than 120 seconds, which is the limit. Cut it and try again.
    >>> Message.from_dict(message.to_dict()) == message
    True

    Attributes:
        code: A key of `TEMPLATES`.
        values: One per placeholder of the template; numbers that need a format come formatted.

    Raises:
        ValueError: If there is no such code, or the values are not those of its template.
    """

    code: str
    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.code not in TEMPLATES:
            raise ValueError(f"code: {self.code!r}, expected one of {sorted(TEMPLATES)}")
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        if set(self.values) != placeholders(self.template):
            raise ValueError(
                f"values: {sorted(self.values)} of {self.code!r}, expected {sorted(placeholders(self.template))}"
            )

    @property
    def template(self) -> str:
        """The English template."""
        return TEMPLATES[self.code]

    def __str__(self) -> str:
        """Return the English sentence."""
        return self.template.format(**self.values)

    def __hash__(self) -> int:
        return hash((self.code, frozenset(self.values.items())))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"code": self.code, "values": dict(self.values)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Message:
        """Inverse of `to_dict`.

        Raises:
            ValueError: If there is no such code, or the values are not those of its template.
        """
        return cls(str(plain["code"]), dict(plain["values"]))


class MessageError(ValueError):
    """An error whose message is for the user.

    Attributes:
        message: What is wrong and what to do; `str(error)` is its English sentence.
        detail: For the log: what was measured, or what a library said.
    """

    def __init__(self, message: Message, detail: str = "") -> None:
        super().__init__(str(message))
        self.message = message
        self.detail = detail


def placeholders(template: str) -> set[str]:
    """Return the names of a template's placeholders."""
    return {name for _text, name, _spec, _conversion in Formatter().parse(template) if name is not None}
