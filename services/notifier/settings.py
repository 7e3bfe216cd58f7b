"""All that the notifier takes from its environment; nothing else reads it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from services.notifier.core.chart_layout import DEFAULT_SCALE
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.rates import RateLimits
from services.notifier.limits import SenderLimits
from shared.runtime.settings import ServiceSettings


class NotifierSettings(ServiceSettings):
    """Without TELEGRAM_BOT_TOKEN messages go to the console and charts to OUTBOX_DIR."""

    telegram_bot_token: SecretStr | None = Field(None, validation_alias="TELEGRAM_BOT_TOKEN")
    telegram_chat_id: str = Field(
        "", validation_alias="TELEGRAM_CHAT_ID", description="Chat of config entries without an id; /start tells it."
    )
    telegram_api_url: str = Field(
        "https://api.telegram.org",
        validation_alias="TELEGRAM_API_URL",
        pattern="^https?://.+",
        description="With or without /bot behind it.",
    )
    telegram_timeout_seconds: PositiveFloat = Field(10.0, validation_alias="TELEGRAM_TIMEOUT_SECONDS")
    telegram_poll_seconds: NonNegativeFloat = Field(25.0, validation_alias="TELEGRAM_POLL_SECONDS")
    telegram_updates: Literal["polling", "webhook"] = Field(
        "polling", validation_alias="TELEGRAM_UPDATES", description="webhook: services.notifier.webhook gets them."
    )
    telegram_connections: PositiveInt = Field(32, validation_alias="TELEGRAM_CONNECTIONS")
    telegram_keepalive_seconds: PositiveFloat = Field(20.0, validation_alias="TELEGRAM_KEEPALIVE_SECONDS")
    sends_in_flight_per_chat: PositiveInt = Field(16, validation_alias="SENDS_IN_FLIGHT_PER_CHAT")
    sender_lease_ms: PositiveInt = Field(
        6_000, validation_alias="SENDER_LEASE_MS", description="How long after a kill another sender may start."
    )
    outbox_scan_ms: PositiveInt = Field(5_000, validation_alias="OUTBOX_SCAN_MS")
    outbox_backoff_first_ms: PositiveInt = Field(1_000, validation_alias="OUTBOX_BACKOFF_FIRST_MS")
    outbox_backoff_max_ms: PositiveInt = Field(300_000, validation_alias="OUTBOX_BACKOFF_MAX_MS")
    message_cache_hours: PositiveFloat = Field(5.0, validation_alias="MESSAGE_CACHE_HOURS")
    chart_cache_hours: PositiveFloat = Field(24.0, validation_alias="CHART_CACHE_HOURS")
    chart_workers: PositiveInt = Field(1, validation_alias="CHART_WORKERS")
    charts_waiting_max: PositiveInt = Field(50, validation_alias="CHARTS_WAITING_MAX")
    chart_theme: Literal["dark", "light"] = Field("dark", validation_alias="CHART_THEME")
    chart_scale: float = Field(
        DEFAULT_SCALE, validation_alias="CHART_SCALE", ge=1, le=3, description="Pixels per unit of 640 x 720."
    )
    questions_max: PositiveInt = Field(
        10, validation_alias="QUESTIONS_MAX", description="Charts and explanations one person may ask for in ..."
    )
    questions_seconds: PositiveFloat = Field(30.0, validation_alias="QUESTIONS_SECONDS", description="... so long.")
    outbox_dir: Path = Field(Path("data/outbox"), validation_alias="OUTBOX_DIR")
    console_format: Literal["text", "json"] = Field("text", validation_alias="CONSOLE_FORMAT")
    language: str = Field(
        "en",
        validation_alias="NOTIFIER_LANGUAGE",
        pattern=f"^({'|'.join(LANGUAGES)})$",
        description="Of chats that name none.",
    )
    progress_pause_ms: NonNegativeInt = Field(
        300_000, validation_alias="PROGRESS_PAUSE_MS", description="At most one progress edit of a message in so long."
    )
    system_pause_ms: NonNegativeInt = Field(
        300_000, validation_alias="SYSTEM_PAUSE_MS", description="At most one message about a kind of event in so long."
    )
    alert_gather_ms: NonNegativeInt = Field(
        500, validation_alias="ALERT_GATHER_MS", description="How long alerts of a pair wait for one another."
    )
    farewell_ms: NonNegativeInt = Field(
        3_000, validation_alias="FAREWELL_MS", description="How long a stop waits for the message that tells it."
    )
    picture_owed_hours: NonNegativeFloat = Field(
        24.0,
        validation_alias="PICTURE_OWED_HOURS",
        description="How long after its text a picture that a kill prevented still joins its message; 0: never.",
    )
    rate_chat_per_second: PositiveInt = Field(1, validation_alias="RATE_CHAT_PER_SECOND")
    rate_group_per_minute: PositiveInt = Field(20, validation_alias="RATE_GROUP_PER_MINUTE")
    rate_global_per_second: PositiveInt = Field(30, validation_alias="RATE_GLOBAL_PER_SECOND")
    rate_margin_ms: NonNegativeFloat = Field(50.0, validation_alias="RATE_MARGIN_MS")
    rate_factor: PositiveFloat = Field(
        1.0, validation_alias="RATE_FACTOR", description="How much faster than Telegram the server counts (tests)."
    )
    results_seconds: NonNegativeFloat = Field(
        10.0, validation_alias="STATUS_RESULTS_SECONDS", description="How old the results in /status may be."
    )
    engine_freshness_seconds: PositiveFloat = Field(
        120.0,
        validation_alias="ENGINE_FRESHNESS_SECONDS",
        description="Wall time without a sign of life of the logic engine (one comes every two seconds) until it is announced.",
    )
    status_seconds: PositiveFloat = Field(5.0, validation_alias="NOTIFIER_STATUS_SECONDS")

    def sender_limits(self) -> SenderLimits:
        """The sender's part of the settings."""
        return SenderLimits(
            in_flight_per_chat=self.sends_in_flight_per_chat,
            lease_ttl_ms=self.sender_lease_ms,
            scan_ms=self.outbox_scan_ms,
            backoff_first_ms=self.outbox_backoff_first_ms,
            backoff_max_ms=self.outbox_backoff_max_ms,
            message_cache_ttl_ms=round(self.message_cache_hours * 3_600_000),
            progress_pause_ms=self.progress_pause_ms,
            system_pause_ms=self.system_pause_ms,
            alert_gather_ms=self.alert_gather_ms,
            farewell_ms=self.farewell_ms,
            picture_owed_ms=round(self.picture_owed_hours * 3_600_000),
            rates=RateLimits(
                per_chat_per_second=self.rate_chat_per_second,
                per_group_per_minute=self.rate_group_per_minute,
                global_per_second=self.rate_global_per_second,
                margin_ms=self.rate_margin_ms,
                factor=self.rate_factor,
            ),
        )
