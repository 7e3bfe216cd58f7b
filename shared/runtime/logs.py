"""Logging: the event is a constant, the values are keys. Pretty on a terminal, JSON lines in Cloud Logging's format elsewhere.

A JSON line has `severity`, `message` (the event), `time`, `stack_trace` where there is one, every other value under its own
key, and `logging.googleapis.com/trace` where the line belongs to a correlation: Cloud Logging then shows all that followed
from one minute of an exchange, whichever service wrote it. Nothing leaves unredacted (redaction.py).
"""

import logging
import logging.handlers
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from pydantic import SecretStr

from shared.runtime.redaction import hide, redact, redact_value
from shared.runtime.settings import ServiceSettings, SettingsError

__all__ = ["configure_logging", "redact"]

TRACE: Final = "logging.googleapis.com/trace"
_SEVERITY: Final = {"warn": "WARNING", "exception": "ERROR", "notset": "DEFAULT"}
# Their keys are the format's own, or texts already redacted.
_OWN_KEYS: Final = frozenset(
    {"severity", "time", "level", "timestamp", "logger", "_record", "_from_structlog", "exc_info"}
)
_NOISY: Final = (
    "httpx",
    "httpcore",
    "websockets",
    "telegram",
    "matplotlib",
    "asyncio",
    "numba",
    "uvicorn",
    "urllib3",
    "opentelemetry",
)
Event = MutableMapping[str, Any]


def _redact_values(_: Any, __: str, event: Event) -> Event:
    for key, value in event.items():
        if key not in _OWN_KEYS:
            event[key] = redact_value(value, key=key)
    return event


class _CloudFormat:
    """Names things as Cloud Logging reads them. project: of the trace's full name, None outside Google Cloud."""

    def __init__(self, project: str | None) -> None:
        self._project = project

    def __call__(self, _: Any, __: str, event: Event) -> Event:
        level = str(event.pop("level", "info"))
        line: Event = {
            "severity": _SEVERITY.get(level, level.upper()),
            "message": event.pop("event", ""),
            "time": event.pop("timestamp", None),
        }
        if "exception" in event:
            line["stack_trace"] = event.pop("exception")
        if isinstance(correlation := event.get("correlation_id"), str):
            line[TRACE] = f"projects/{self._project}/traces/{correlation}" if self._project else correlation
        line.update((key, value) for key, value in event.items() if key not in line)
        return line


def configure_logging(settings: ServiceSettings) -> None:
    """Send every log line of this process, libraries' included, to the rotated file or standard error."""
    hide_secrets_of(settings)
    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_values,
    ]
    handler = _handler(settings)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_steps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    logging.captureWarnings(capture=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared_steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    threading.excepthook = _thread_failed


def hide_secrets_of(settings: ServiceSettings) -> None:
    """From now on the values of its secrets appear in no line."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            hide(value.get_secret_value())


def _rendering(settings: ServiceSettings) -> list[structlog.typing.Processor]:
    on_terminal = settings.log_file is None and sys.stderr.isatty()
    if settings.log_format == "pretty" or (settings.log_format == "auto" and on_terminal):
        return [structlog.dev.ConsoleRenderer()]
    cloud_format = _CloudFormat(settings.google_cloud_project)
    return [cloud_format, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """What Python would print as it is."""
    name = failure.thread.name if failure.thread else ""
    error = failure.exc_value
    structlog.get_logger().error("thread_failed", thread=name, exc_info=error or failure.exc_type)


def _handler(settings: ServiceSettings) -> logging.Handler:
    if settings.log_file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            settings.log_file,
            maxBytes=settings.log_file_bytes_max,
            backupCount=settings.log_files_kept,
            encoding="utf-8",
        )
    except OSError as error:
        raise SettingsError(
            f"LOG_FILE: {settings.log_file} cannot be written ({error.strerror}); name another file, or none"
        ) from error
