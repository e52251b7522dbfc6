"""A sink that keeps what it is given, and fails or waits when it is told to."""

import threading


class Recorder:
    """Keeps events; a `gate` that is closed makes it wait, `fails` is asked before each event."""

    def __init__(self, name="recorder", fails=lambda event: None):
        self.name = name
        self.events = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()
        self._fails = fails

    @property
    def sequences(self):
        return [event.sequence for event in self.events]

    def write(self, event):
        self.gate.wait(60)
        error = self._fails(event)
        if error is not None:
            raise error
        self.events.append(event)

    def close(self):
        self.closed = True
