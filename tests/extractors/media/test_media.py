from __future__ import annotations

import struct

import av
import numpy as np
import pytest

from extractors.media.probe import SAMPLE_RATE, Limits, MediaError, decode_audio, decode_frames, open_media, probe
from extractors.messages import Message
from tests.extractors.support.clips import CODECS, every, grey, make_clip, tone

RATE = 10.0  # frames per second


def everything(path, limits=Limits()):  # noqa: B008
    """Read a file in each way there is."""
    return [
        lambda: probe(path, limits),
        lambda: decode_audio(path, limits),
        lambda: list(decode_frames(path, RATE, limits)),
    ]


def levels(path, rate=RATE):
    """Seconds and brightness of what `decode_frames` gives."""
    return [(round(seconds, 3), round(float(frame.mean()))) for seconds, frame in decode_frames(path, rate)]


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_every_container(tmp_path, suffix):
    rate = 48_000 if suffix == ".webm" else 44_100
    path = make_clip(
        tmp_path / f"clip{suffix}", frames=every(2, grey(120)), sound=tone(2, rate=rate, channels=2), rate=rate
    )
    info = probe(path)
    sound = decode_audio(path)
    frames = list(decode_frames(path, RATE))
    assert info.audio_codec and info.video_codec
    assert info.seconds == pytest.approx(2, abs=0.15)
    assert 0 <= sound.start < 0.15  # some containers let the first frame come a little before or after the sound
    assert len(sound.samples) / SAMPLE_RATE == pytest.approx(2, abs=0.15)
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples).max() == pytest.approx(np.abs(tone(1)).max(), rel=0.15)
    assert len(frames) in (20, 21)
    assert frames[0][0] < 0.15
    assert np.allclose(np.diff([seconds for seconds, _ in frames]), 0.1)
    assert frames[0][1].shape == (48, 64, 3)
    assert frames[0][1].mean() == pytest.approx(120, abs=3)


def test_probe_finds_what_a_clip_is(tmp_path):
    def turn(video):
        video.set_display_rotation(90)

    frames = every(2, grey(90))
    path = make_clip(tmp_path / "clip.mp4", frames=frames, sound=tone(2), set_up=turn)
    info = probe(path)
    assert "mp4" in info.container
    assert (info.video_codec, info.audio_codec) == ("h264", "aac")
    assert (info.width, info.height, info.rotation) == (48, 64, 90)
    assert info.fps == pytest.approx(25)
    assert info.seconds == pytest.approx(2, abs=0.1)


def test_probe_counts_frames_whatever_the_header_says(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", frames=every(2, grey(90), fps=12), fps=50)
    assert probe(path).fps == pytest.approx(12, abs=0.1)
    single = make_clip(tmp_path / "single.mkv", frames=[(0.0, grey(90))])
    assert probe(single).fps is None and (probe(single).width, probe(single).height) == (64, 48)


def test_probe_of_audio_alone_has_no_video(tmp_path):
    info = probe(make_clip(tmp_path / "clip.mkv", sound=tone(1)))
    assert (info.width, info.height, info.rotation, info.fps) == (None, None, 0, None)
    assert (info.video_codec, info.audio_codec) == (None, "pcm_f32le")


@pytest.mark.parametrize("suffix", sorted({*CODECS} - {".avi"}))  # AVI knows no time stamps
def test_a_clip_that_starts_late_starts_at_zero(tmp_path, suffix):
    frames = [(5 + seconds, frame) for seconds, frame in every(1, grey(90))]
    path = make_clip(
        tmp_path / f"clip{suffix}", frames=frames, sound=tone(1, rate=48_000), sound_start=5.5, rate=48_000
    )
    assert np.allclose([seconds for seconds, _ in levels(path)], np.arange(10) / 10)
    assert decode_audio(path).start == pytest.approx(0.5, abs=0.03)
    assert probe(path).seconds == pytest.approx(1.5, abs=0.05)


def test_channels_are_averaged(tmp_path):
    wave = tone(1)
    both = make_clip(tmp_path / "both.mkv", sound=np.concatenate([wave, wave / 2]))
    assert np.allclose(decode_audio(both).samples, wave[0] * 0.75, atol=1e-6)


def test_sixteen_bit_sound_has_full_scale_one(tmp_path):
    sound = decode_audio(make_clip(tmp_path / "clip.mov", sound=tone(1)))
    assert np.allclose(sound.samples, tone(1)[0], atol=1e-4)


def test_eight_channels_are_averaged(tmp_path):
    path = tmp_path / "clip.mp4"  # AAC decodes to eight planes
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="7.1")
        whole = av.AudioFrame.from_ndarray(np.tile(tone(1, rate=48_000), (8, 1)).T.reshape(1, -1), "flt", "7.1")
        whole.sample_rate, whole.pts = 48_000, 0
        resampler = av.AudioResampler(format="fltp", layout="7.1", rate=48_000, frame_size=1024)
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    sound = decode_audio(path)
    assert len(sound.samples) == pytest.approx(SAMPLE_RATE, abs=2000)
    # AAC keeps hardly anything of the bass channel, one of eight.
    assert sound.samples.std() == pytest.approx(tone(1).std(), rel=0.2)


def wav(path, *, rate=SAMPLE_RATE, channels=1):
    samples = np.tile(tone(1)[0][:, None], (1, channels)).astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, channels, rate, (4 * rate * channels) % 2**32, 4 * channels, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(samples)) + samples
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def test_a_plain_wav_is_read(tmp_path):
    assert np.allclose(decode_audio(wav(tmp_path / "clip.wav")).samples, tone(1)[0], atol=1e-6)


@pytest.mark.parametrize("odd", [{"rate": 2_000_000_000}, {"channels": 9}, {"channels": 45}])
def test_sound_beyond_all_measure_is_skipped_and_reported(tmp_path, odd):
    reports = []
    sound = decode_audio(wav(tmp_path / "clip.wav", **odd), report=reports.append)
    assert len(sound.samples) == 0
    assert len(reports) == 1 and "more than 8 channels or 384 kHz" in str(reports[0])


def test_sound_is_resampled_in_tune(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", sound=tone(1, rate=44_100, hertz=441.0), rate=44_100)
    samples = decode_audio(path).samples
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(samples) == pytest.approx(441, abs=1.5)


def test_one_clock_for_audio_and_video_that_do_not_start_at_zero(tmp_path):
    frames = [(seconds + 5, frame) for seconds, frame in every(2, grey(90))]
    sound = decode_audio(make_clip(tmp_path / "clip.mkv", frames=frames, sound=tone(1), sound_start=5.5))
    assert sound.start == pytest.approx(0.5, abs=0.01)
    assert sound.end == pytest.approx(1.5, abs=0.01)
    assert levels(tmp_path / "clip.mkv")[0][0] == 0
    assert probe(tmp_path / "clip.mkv").seconds == pytest.approx(2, abs=0.05)


def test_video_that_starts_after_the_audio(tmp_path):
    frames = [(seconds + 0.7, frame) for seconds, frame in every(1, grey(90))]
    path = make_clip(tmp_path / "clip.mkv", frames=frames, sound=tone(2))
    assert levels(path)[0][0] == 0.7
    assert decode_audio(path).start == 0


def test_frames_follow_the_clock_whatever_the_frame_rate(tmp_path):
    shown = [(0.0, 20), (0.33, 60), (0.35, 100), (0.9, 140), (0.94, 180)]
    path = make_clip(tmp_path / "clip.mkv", frames=[(seconds, grey(level)) for seconds, level in shown])
    expected = [(k / 10, [level for seconds, level in shown if seconds <= k / 10][-1]) for k in range(10)]
    got = levels(path)
    assert [seconds for seconds, _ in got] == [seconds for seconds, _ in expected]
    assert np.allclose([level for _, level in got], [level for _, level in expected], atol=2)


def test_a_hole_in_the_sound_becomes_silence(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=SAMPLE_RATE, layout="mono")
        for start in (0, 2 * SAMPLE_RATE):  # one second of sound, one without packets, one of sound
            frame = av.AudioFrame.from_ndarray(np.full((1, SAMPLE_RATE), 0.5, np.float32), format="flt", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = decode_audio(path).samples
    assert len(samples) == pytest.approx(3 * SAMPLE_RATE, abs=20)
    assert np.allclose(samples[SAMPLE_RATE + 100 : 2 * SAMPLE_RATE - 100], 0)
    assert np.allclose(samples[2 * SAMPLE_RATE + 100 :], 0.5, atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (33, 57), (130, 2)])
def test_odd_sizes(tmp_path, width, height):
    path = make_clip(tmp_path / "clip.webm", frames=every(0.4, grey(100, width=width, height=height)))
    assert {frame.shape for _, frame in decode_frames(path, RATE)} == {(height, width, 3)}


def test_large_frames_are_scaled_down(tmp_path):
    path = make_clip(tmp_path / "clip.webm", frames=every(0.1, grey(100, width=2000, height=500)))
    assert [frame.shape for _, frame in decode_frames(path, RATE)] == [(320, 1280, 3)]


def test_missing_streams(tmp_path):
    silent_film = make_clip(tmp_path / "video.webm", frames=every(1, grey(100)))
    radio = make_clip(tmp_path / "audio.webm", sound=tone(1, rate=48_000), rate=48_000)
    assert decode_audio(silent_film) is None
    assert list(decode_frames(radio, RATE)) == []
    assert probe(silent_film).audio_codec is None and probe(silent_film).video_codec is not None
    assert probe(radio).audio_codec is not None and probe(radio).video_codec is None


def test_cover_art_is_not_a_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(grey(100), format="rgb24")))
        frame = av.AudioFrame.from_ndarray(tone(1), format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        container.mux(cover.encode(None))
    assert probe(path).video_codec is None


IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
CLOCKWISE = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)  # right becomes down


def test_rotation_is_applied(tmp_path):
    frame = grey(0)
    frame[:, :32] = 255  # bright left, dark right
    path = make_clip(tmp_path / "clip.mp4", frames=every(0.4, frame))
    content = path.read_bytes()
    header = content.index(b"tkhd")
    path.write_bytes(content[:header] + content[header:].replace(IDENTITY, CLOCKWISE, 1))
    turned = next(iter(decode_frames(path, RATE)))[1]
    assert turned.shape == (64, 48, 3)
    assert turned[:24].mean() > 200 and turned[40:].mean() < 50  # left became top


def test_a_refusal_has_a_sentence_and_a_detail(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=every(1, grey(9)))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("words")
    strange = tmp_path / "strange.mkv"
    strange.write_bytes(clip.read_bytes().replace(b"V_FFV1", b"V_XXXX"))  # a codec that is not known
    refused = [
        (tmp_path / "none.mp4", Limits()),
        (tmp_path / "empty.mp4", Limits()),
        (tmp_path / "text.mp4", Limits()),
        (strange, Limits()),
        (clip, Limits(file_bytes=10)),
        (clip, Limits(seconds=0.5)),
        (make_clip(tmp_path / "large.webm", frames=every(0.2, grey(9))), Limits(pixels=100)),
        (clip, Limits(frames=3)),
    ]
    sentences = set()
    for path, limits in refused:
        with pytest.raises(MediaError) as caught:
            probe(path, limits)
        assert str(caught.value).endswith(".") and str(caught.value) == str(caught.value.message)
        assert caught.value.detail and caught.value.detail not in str(caught.value)
        sentences.add(str(caught.value))
    assert len(sentences) == len(refused)


def test_a_playlist_in_disguise_reads_no_neighbour(tmp_path):
    make_clip(tmp_path / "secret.mkv", frames=every(1, grey(77)))
    disguised = tmp_path / "x.mp4"
    disguised.write_text("ffconcat version 1.0\nfile secret.mkv\n")
    with av.open(str(disguised)) as unguarded:  # the attack is real
        assert next(unguarded.decode(video=0)).width == 64
    for read in everything(disguised):
        with pytest.raises(MediaError, match="not a video"):
            read()


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period/></MPD>",
        b"Just some words about a clip.\n" * 50,
        b"\x00" * 5000,
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
    ],
    ids=["hls", "sdp", "dash", "text", "zeros", "png"],
)
@pytest.mark.parametrize("name", ["x.mp4", "x.mpg", "x.m3u8"])
def test_what_is_not_a_clip_is_refused(tmp_path, content, name):
    make_clip(tmp_path / "secret.ts", frames=every(1, grey(77)))
    path = tmp_path / name
    path.write_bytes(content)
    for read in everything(path):
        with pytest.raises(MediaError, match=r"not a video|neither sound nor"):
            read()


def test_a_name_is_never_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "secret.mkv", frames=every(0.4, grey(77)))
    for name in ("concat:secret.mkv", "subfile,,start,0,end,0,,:secret.mkv", "http://localhost/x.mp4"):
        with pytest.raises(MediaError, match="no such file"), open_media(name):
            pass


def test_empty_missing_folder(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match="empty"):
        probe(tmp_path / "empty.mp4")
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(MediaError, match="no such file"):
            probe(path)


def test_too_large_a_file(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", sound=tone(1))
    for read in everything(path, Limits(file_bytes=path.stat().st_size - 1)):
        with pytest.raises(MediaError, match="MB; the limit is"):
            read()
    assert probe(path, Limits(file_bytes=path.stat().st_size)).audio_codec


def test_too_long_a_clip(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", frames=every(2, grey(9)), sound=tone(2))
    for read in everything(path, Limits(seconds=1.5)):
        with pytest.raises(MediaError, match="longer than"):
            read()


def test_a_frame_held_for_hours_is_too_long(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", frames=[(0.0, grey(9)), (36_000.0, grey(10))])
    for read in (lambda: probe(path), lambda: list(decode_frames(path, RATE))):
        with pytest.raises(MediaError, match="longer than 120"):
            read()


def test_too_many_frames(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", frames=every(1, grey(9)))
    for read in (lambda limits: probe(path, limits), lambda limits: list(decode_frames(path, RATE, limits))):
        with pytest.raises(MediaError, match="more than 24 pictures"):
            read(Limits(frames=24))


def test_a_header_that_lies_about_the_length_is_not_believed(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", frames=every(1, grey(100)))
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # Matroska's Duration, 8 bytes of milliseconds
    content[at : at + 8] = struct.pack(">d", 36e6)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert container.duration / av.time_base == 36_000  # claims ten hours
    assert probe(path).seconds == pytest.approx(1, abs=0.1)
    assert len(list(decode_frames(path, RATE))) == 10


def test_too_large_a_frame(tmp_path):
    path = make_clip(tmp_path / "clip.webm", frames=every(0.4, grey(9, width=640, height=480)))
    for read in everything(path, Limits(pixels=640 * 480 - 1)):
        with pytest.raises(MediaError, match="640 x 480 pixels"):
            read()
    assert probe(path, Limits(pixels=640 * 480)).video_codec


def test_a_frame_that_grows_after_the_header_is_never_decoded(tmp_path):
    small = make_clip(tmp_path / "small.ts", frames=every(1, grey(50)))
    large = make_clip(tmp_path / "large.ts", frames=[(1 + t, p) for t, p in every(1, grey(50, width=640, height=480))])
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    assert {frame.shape for _, frame in decode_frames(path, RATE)} == {(48, 64, 3), (480, 640, 3)}
    reports = []
    guarded = list(decode_frames(path, RATE, Limits(pixels=100 * 100), reports.append))
    assert {frame.shape for _, frame in guarded} == {(48, 64, 3)}
    assert len(reports) == 1 and reports[0].code == "video_damaged"


def test_damage_is_skipped_and_reported(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", frames=every(2, grey(120)))
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    content[places[20] : places[20] + 4] = b"\xff\xff\xff\xff"  # the length of a unit in one packet
    path.write_bytes(content)
    reports = []
    assert len(list(decode_frames(path, RATE, report=reports.append))) == 20
    assert reports == [Message("video_damaged", {"count": 1})]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mpg", ".avi"])
def test_a_file_cut_short_is_used_or_refused(tmp_path, suffix, share):
    rate = 48_000
    path = make_clip(tmp_path / f"clip{suffix}", frames=every(2, grey(120)), sound=tone(2, rate=rate), rate=rate)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for read in everything(path):
        try:
            read()
        except MediaError as error:
            assert str(error).endswith(".")


def test_sound_that_is_not_a_number_is_silence(tmp_path):
    samples = tone(1)
    samples[0, 5000:6000] = np.nan
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    reports = []
    sound = decode_audio(path, report=reports.append)
    assert np.isfinite(sound.samples).all()
    assert np.allclose(sound.samples[5100:5900], 0)
    assert np.abs(sound.samples[:4900]).max() > 0.1
    assert reports == [Message("audio_not_finite")]
