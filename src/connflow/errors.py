"""The errors connflow raises on purpose; each is also the builtin that a caller would expect.

Every message says what was expected, what came, and what to do.
"""


class ConnflowError(Exception):
    """Base of every error that connflow raises on purpose."""


class InvalidInputError(ConnflowError, ValueError):
    """Data or parameters that cannot give a right answer. Running again does not help."""


class RecordingError(InvalidInputError):
    """A recording that was found but cannot be used as it is."""


class RecordingNotFoundError(ConnflowError, FileNotFoundError):
    """No recording at the place that was named."""


class StoreError(ConnflowError, OSError):
    """The artifact store cannot be read or written."""


class StoreFullError(StoreError):
    """There is no space left for the artifact store, or for what is staged for it."""


class ArtifactNotFoundError(ConnflowError, FileNotFoundError):
    """The store holds no finished artifact under this ref."""


class ArtifactDamagedError(ConnflowError, OSError):
    """An artifact's files are not those that were written."""


class InputChangedError(ConnflowError, RuntimeError):
    """An input changed while a step was reading it; nothing was committed."""


class WorkerLostError(ConnflowError, OSError):
    """A worker was lost with the work that it did, more often than is put up with."""


class ClusterError(ConnflowError, OSError):
    """The cluster cannot be reached, or gives no workers."""


class StepTimeLimitError(ConnflowError, TimeoutError):
    """A step ran longer than it may."""


class ServerError(ConnflowError, ConnectionError):
    """The Prefect server cannot be reached, started, or given what it shall hold."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, for use inside another message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
