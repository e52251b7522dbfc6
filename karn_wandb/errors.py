"""Everything this package raises on purpose.

KarnError
├── RecordError           a record's field has a wrong type or value
│   └── TransitionError   a seed module's stage cannot follow the one before
├── UsageError            a call at the wrong time, or with arguments that do not fit together
├── AttributionError      a coalition game cannot be evaluated or solved as asked
├── StatisticsError       numbers that no comparison can be made of
├── SourceError           runs cannot be read: missing, empty, not ours, damaged
├── ClaimsError           a claims file does not say what a claims file must
└── SweepError            a sweep file, or the folder of a sweep, cannot be used
"""


class KarnError(Exception):
    """Base of all errors of this package.

    Args:
        what: What is wrong, as a sentence without a full stop.
        got: What was found instead; left out of the message when empty.
        do: What to do about it, as a sentence.
    """

    def __init__(self, what: str, *, got: str = "", do: str = "") -> None:
        self.what, self.got, self.do = what, got, do
        found = f"; got {got}" if got else ""
        super().__init__(f"{what}{found}." + (f" {do}" if do else ""))


class RecordError(KarnError, ValueError):
    """A record's field has a wrong type or value."""


class TransitionError(RecordError):
    """A seed module's stage cannot follow the one before."""


class UsageError(KarnError, RuntimeError):
    """A call at the wrong time, or with arguments that do not fit together."""


class AttributionError(KarnError, ValueError):
    """A coalition game cannot be evaluated or solved as asked."""


class StatisticsError(KarnError, ValueError):
    """Numbers that no comparison can be made of."""


class SourceError(KarnError):
    """Runs cannot be read: missing, empty, not ours, damaged."""


class ClaimsError(KarnError, ValueError):
    """A claims file does not say what a claims file must."""


class SweepError(KarnError, ValueError):
    """A sweep file does not say what a sweep file must, or the folder of a sweep cannot be used."""


class KarnWarning(UserWarning):
    """Something a user should know that is no error: trouble below us, or numbers that look wrong."""
