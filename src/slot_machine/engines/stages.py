"""The stages of a deploy as a client is told of them: the same lines as a daemon's."""

import time
from collections.abc import Generator

from slot_machine.core.masking import Masking
from slot_machine.core.phases import Phase
from slot_machine.engines.engine import Steps

Line = dict[str, object]
Lines = Generator[Line, None, None]


class Stages:
    """`stage` is the one that runs, or the last one that ran. `masking` hides values in all that is told."""

    def __init__(self, app: str, masking: Masking) -> None:
        self.stage = ""
        self.warnings: list[str] = []
        self._app = app
        self._masking = masking

    def run(self, phase: Phase, what: str, steps: Steps) -> Lines:
        """Raises what `steps` raises, after the stage's end was told."""
        self.stage = phase.stage
        began_s = time.monotonic()
        yield self._line("started", what, 0.0)
        try:
            while True:
                try:
                    message = next(steps)
                except StopIteration as end:
                    yield self._line("finished", end.value or "", time.monotonic() - began_s)
                    return
                yield self._line("output", message, time.monotonic() - began_s)
        except GeneratorExit:
            steps.close()
            raise
        except BaseException:
            yield self._line("failed", "", time.monotonic() - began_s)
            raise

    def warn(self, message: str) -> Line:
        """Told at once, and again in the reply."""
        message = self._masking.text(message)
        self.warnings.append(message)
        return self._line("output", f"warning: {message}", 0.0)

    def _line(self, event: str, message: str, seconds: float) -> Line:
        text = self._masking.text(message)
        return {"event": event, "stage": self.stage, "message": text, "seconds": round(seconds, 4), "app": self._app}
