"""The steps to trials: read from a file, or a recording cut around events."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from connflow.errors import InvalidInputError
from connflow.params import StepParams
from connflow.recording.params import RecordingParams
from connflow.store import ArtifactRef
from connflow.trials import TrialsParams, find_description
from flows.running.plan import PlannedRun
from flows.running.run import Run
from flows.wiring import Made
from tasks.recording import read_recording
from tasks.trials import cut_trials, read_trials

Place = Annotated[str, Field(title="path or URL")]


class Session(StepParams):
    """Where the trials of a session come from: a file of trials, or a recording and its events."""

    name: str = Field("", description="What tables call it; the file's name if empty.")
    trials: Place | ArtifactRef | None = Field(
        None,
        description="npz or zarr with spike_counts (trial, time, unit), or blech_clust's HDF5.",
    )
    recording: Place | ArtifactRef | None = Field(
        None, description="A recording of spikes, to be cut into trials."
    )
    events: Place | None = Field(
        None, description="Table (CSV, Parquet, npz) with the time_s of each trial's event."
    )

    @property
    def label(self) -> str:
        """What tables call the session."""
        source = self.trials if self.trials is not None else self.recording
        return self.name or (
            source.short if isinstance(source, ArtifactRef) else Path(str(source)).stem
        )

    def check(self) -> None:
        """Raise `InvalidInputError` unless there is one source of trials."""
        is_cut = self.recording is not None and self.events is not None
        is_partly_cut = self.recording is not None or self.events is not None
        if (self.trials is not None) == is_cut or is_cut != is_partly_cut:
            raise InvalidInputError(
                "name either a file of trials, or a recording together with its events: got "
                f"trials={self.trials}, recording={self.recording}, events={self.events}"
            )


def make_trials(
    run: Run | PlannedRun, session: Session, recording: RecordingParams, params: TrialsParams
) -> Made:
    """Submit the step that makes the trials of a session; a recording is waited for."""
    session.check()
    if isinstance(session.trials, ArtifactRef):
        return session.trials
    made: Made
    if session.trials is not None:
        about = find_description(session.trials)
        made = read_trials.submit(session.trials, about, params)
        return made
    source = session.recording
    if not isinstance(source, ArtifactRef):
        source = run.wait("recording", read_recording.submit(source, recording))
    made = cut_trials.submit(source, session.events, params)
    return made


def read_sessions(named: Sequence[Mapping[str, Any]], file: Path | None) -> list[Session]:
    """Return the sessions that are named one by one, and those of a YAML list.

    Raises
    ------
    InvalidInputError
        If the file is no list of sessions, or there is none at all.
    """
    listed: Any = []
    if file is not None:
        try:
            listed = yaml.safe_load(file.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise InvalidInputError(f"{file} cannot be read as YAML: {error}") from None
        if not isinstance(listed, list):
            raise InvalidInputError(f"{file} must hold a list of sessions, not {listed!r}")
    sessions = [Session.parse(one) for one in (*named, *listed)]
    if not sessions:
        raise InvalidInputError("name at least one session, by --trials or --sessions")
    for session in sessions:
        session.check()
    return sessions
