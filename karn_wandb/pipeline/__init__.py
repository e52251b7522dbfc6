"""From a logged record to the sinks: collector, store, record log, delivery."""

from karn_wandb.pipeline.collector import KarnCollector
from karn_wandb.pipeline.delivery import Follower, Sink
from karn_wandb.pipeline.history import standing
from karn_wandb.pipeline.log import LOG_NAME, ReadLog, RecordLog, parse_log, read_log, write_log
from karn_wandb.pipeline.store import TelemetryStore

__all__ = [
    "LOG_NAME",
    "Follower",
    "KarnCollector",
    "ReadLog",
    "RecordLog",
    "Sink",
    "TelemetryStore",
    "parse_log",
    "read_log",
    "standing",
    "write_log",
]
