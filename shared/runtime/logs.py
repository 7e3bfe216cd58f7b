"""Logging: the event is a constant, the values are keys. Pretty on a terminal, JSON lines elsewhere; secrets redacted."""

import logging
import logging.handlers
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from shared.runtime.settings import ServiceSettings

# A Telegram bot token (also inside a URL) and credentials in URLs.
_SECRETS: Final = (
    (re.compile(r"(?<!\d)\d{5,}:[A-Za-z0-9_-]{20,}"), "(token)"),
    (re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"), "(credentials)"),
)


def redact(text: str) -> str:
    """The text without tokens and credentials."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _redact_values(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def configure_logging(settings: ServiceSettings) -> None:
    """Send every log line of this process, libraries' included, to the rotated file or standard error."""
    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_values,
    ]
    pretty = settings.log_file is None and sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared_steps,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = _handler(settings)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for noisy in ("httpx", "httpcore", "websockets", "telegram", "matplotlib", "asyncio", "numba", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared_steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _handler(settings: ServiceSettings) -> logging.Handler:
    if settings.log_file is None:
        return logging.StreamHandler(sys.stderr)
    settings.log_file.parent.mkdir(parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(
        settings.log_file,
        maxBytes=settings.log_file_bytes_max,
        backupCount=settings.log_files_kept,
        encoding="utf-8",
    )
