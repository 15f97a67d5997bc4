"""The page Batch: upload files, a folder or a ZIP archive, follow their analysis, filter and download the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from alignmamba.prediction import CLASSES
from app.components import notice
from app.components.result import many_clips
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services import batch, errors, upload
from app.services.batch import Batch, archive, listing
from app.services.batch.rows import BatchRow, Status, to_csv, to_json
from app.services.errors import PlainError
from extractors.media.probe import LIMITS

POLL_SECONDS = 0.5
# Names of `Status` on screen.
STATUSES = {
    Status.DONE: N_("done"),
    Status.FAILED: N_("failed"),
    Status.RUNNING: N_("running"),
    Status.WAITING: N_("waiting"),
}


def mine() -> Batch:
    """Return the batch of this session."""
    return st.session_state.setdefault("batch", Batch())


def choose() -> None:
    """Show the upload field; add the uploaded files to the batch and start it."""
    folder = st.toggle(_("A whole folder"), key="batch-folder", help=_("With all clips in it and in its folders."))
    with st.form("batch-upload", border=False, clear_on_submit=True):
        files = st.file_uploader(
            _(
                "Videos of one speaker each, or a ZIP archive of them: at most {seconds:.0f} seconds and {megabytes} "
                "MB a clip, {clips} clips in all"
            ).format(seconds=LIMITS.seconds, megabytes=upload.MAX_MEGABYTES, clips=batch.MAX_CLIPS),
            type=[*upload.MIME_TYPES, archive.SUFFIX[1:], archive.LIST_SUFFIX[1:]],
            accept_multiple_files="directory" if folder else True,
            max_upload_size=archive.MAX_ARCHIVE_BYTES // upload.MEGABYTE,
            key=f"batch-files-{folder}",
        )
        st.caption(
            _(
                "Who speaks is read from a CSV file beside the clips or in the archive, with the columns `{columns}`, "
                "else from a clip's folder. A label is a score from -3 to +3, or negative, neutral, positive; with "
                "labels you also see what a missing modality costs in accuracy."
            ).format(columns=",".join(listing.COLUMNS))
        )
        if not st.form_submit_button(_("Analyse these clips"), icon=":material/play_arrow:"):
            return
    if not files:
        raise PlainError(_("Choose some video files first."))
    mine().add(files)
    mine().start()


def follow(was_working: bool, shown: list[BatchRow]) -> None:
    """Show the batch's progress and table; while the batch runs, this part alone is rerun.

    Args:
        was_working: Whether the batch was changing when the whole page ran.
        shown: Filled with the rows of the table.
    """
    with errors.plain_sentences():
        current = mine()
        current.advance()
        if working(current) != was_working or not current.rows:
            st.rerun()  # the whole page: it decides whether this part runs again, and what stands below
        _steps(current)
        _controls(current)
        _table(list(current.rows.values()), shown)


def working(current: Batch) -> bool:
    """Whether the batch is still changing."""
    return current.active or bool(current.of(Status.RUNNING))


def _steps(current: Batch) -> None:
    done, failed = len(current.of(Status.DONE)), len(current.of(Status.FAILED))
    text = _("{done} of {count} clips done, {failed} failed").format(done=done, count=len(current.rows), failed=failed)
    st.progress((done + failed) / len(current.rows), text=text)
    if current.duplicates:
        text = _("{count} of the files were there already and are not analysed again.")
        st.caption(text.format(count=current.duplicates))
    if current.passed_over:
        text = _("Files of the archive that are neither clips nor lists, left out: {count}.")
        st.caption(text.format(count=current.passed_over))
    if unmatched := current.listing.unmatched(row.name for row in current.rows.values()):
        st.caption(_("Files of the list that are not among the clips: {count}.").format(count=unmatched))
    if current.listing.unreadable:
        text = _("Labels that are neither a score from -3 to +3 nor negative, neutral or positive, left out: {count}.")
        st.caption(text.format(count=current.listing.unreadable))
    for row in current.of(Status.RUNNING):
        st.caption(_("Analysing: {name}").format(name=wording.plain(row.name)))
        for step, completed, total in current.steps.values():
            st.progress(min(completed / total, 1.0) if total else 1.0, text=wording.step(step))


def _controls(current: Batch) -> None:
    with st.container(horizontal=True):
        if working(current):
            st.button(_("Stop"), key="batch-stop", icon=":material/stop_circle:", on_click=current.stop)
        elif current.of(Status.WAITING):
            st.button(_("Continue"), key="batch-go", icon=":material/play_arrow:", on_click=current.start)
        if any(row.clip is not None for row in current.of(Status.FAILED)):
            again = partial(current.start, failed_too=True)
            st.button(_("Try failed ones again"), key="batch-again", icon=":material/refresh:", on_click=again)
        st.button(_("Clear all"), key="batch-forget", icon=":material/delete:", on_click=_forget)


def _forget() -> None:
    mine().stop()
    del st.session_state["batch"]


def _table(rows: Sequence[BatchRow], shown: list[BatchRow]) -> None:
    """Show the filters and the rows that pass them, which replace those in `shown`."""
    shown[:] = _filtered(rows)
    if not shown:
        st.info(_("No clip passes these filters."), icon=":material/filter_alt_off:")
        return
    st.dataframe(
        pd.DataFrame([_cells(row) for row in shown]),
        hide_index=True,
        alt=_("One line per clip: state, score, class, modalities used, words, error"),
        column_config={
            "file": st.column_config.TextColumn(_("File"), pinned=True),
            "speaker": None if all(row.speaker is None for row in shown) else _("Speaker"),
            "label": None
            if all(row.label is None for row in shown)
            else st.column_config.NumberColumn(_("Label"), format="%+.2f", width="small"),
            "status": _("State"),
            "score": st.column_config.NumberColumn(_("Score"), format="%+.2f", width="small"),
            "class": _("Class"),
            "used": _("Predicted from"),
            "duration_s": st.column_config.NumberColumn(_("Seconds"), format="%.1f", width="small"),
            "transcript": st.column_config.TextColumn(_("Words"), width="large"),
            "error": st.column_config.TextColumn(_("Why not"), width="large"),
        },
        placeholder="",
    )


def _downloads(shown: list[BatchRow]) -> None:
    """Offer the rows that pass the filters, as they are at the click.

    Not part of what is rerun while the batch runs: each rerun would renew the files, and a click on those that are on
    screen for a moment longer would find none.
    """
    with st.container(horizontal=True):
        for name, make, mime in (
            ("batch.csv", to_csv, "text/csv"),
            ("batch.json", to_json, "application/json"),
        ):
            st.download_button(
                _("Download as {kind}").format(kind=name.rpartition(".")[2].upper()),
                partial(make, shown),
                file_name=name,
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=name,
            )


def _filtered(rows: Sequence[BatchRow]) -> list[BatchRow]:
    """Show the filters; return the rows that pass them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        statuses = st.pills(
            _("State"), list(STATUSES), selection_mode="multi", key="batch-status", format_func=lambda s: _(STATUSES[s])
        )
        classes = st.pills(_("Class"), CLASSES, selection_mode="multi", key="batch-class", format_func=_)
        wanted = st.text_input(
            _("Search in names and words"), key="batch-search", icon=":material/search:", width=260
        ).casefold()
    chosen = []
    for row in rows:
        cells = row.cells()
        text = f"{cells['file']} {cells['transcript'] or ''}".casefold()
        if wanted in text and (not statuses or row.status in statuses) and (not classes or cells["class"] in classes):
            chosen.append(row)
    return chosen


def _cells(row: BatchRow) -> dict[str, object]:
    """Return a row of the table, in the session's language."""
    cells = row.cells()
    used = [modality for modality in wording.DISPLAY_ORDER if modality in (cells["used"] or "").split()]
    chance = cells[f"p_{cells['class']}"] if cells["class"] else None
    score_class = cells["class"]
    return {
        "file": cells["file"],
        "speaker": row.speaker,
        "label": row.label,
        "status": _(STATUSES[row.status]),
        "score": cells["score"],
        "class": "" if chance is None else f"{_(score_class)} {wording.share(chance)}",
        "used": _("nothing to predict from") if row.status == Status.DONE and not used else wording.subset(used),
        "duration_s": cells["duration_s"],
        "transcript": cells["transcript"],
        "error": cells["error"],
    }


st.title(_("Many clips"))
st.markdown(
    _(
        "Clips are analysed one after the other; an error in one does not stop the others, and finished clips stay "
        "finished."
    )
)
try:
    if notice.agreed():
        choose()
except Exception as error:
    st.error(wording.plain(errors.sentence(error)), icon=":material/error:")
if mine().rows:
    changing = working(mine())
    shown: list[BatchRow] = []
    st.fragment(follow, run_every=POLL_SECONDS if changing else None)(changing, shown)
    _downloads(shown)
    if changing:
        st.caption(_("Charts over all clips follow when the last one is done, or when you stop."))
    else:
        many_clips.show(mine().of(Status.DONE))
else:
    st.caption(_("Nothing has been analysed yet."))
