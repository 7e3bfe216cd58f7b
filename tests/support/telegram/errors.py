"""The refusals of the Bot API, with Telegram's own wording."""


class ApiError(Exception):
    """One refused call: HTTP status, Telegram's description, and what its `parameters` say: seconds to wait, a new chat."""

    def __init__(
        self, code: int, description: str, *, retry_after_s: int | None = None, migrate_to_chat_id: int | None = None
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after_s = retry_after_s
        self.migrate_to_chat_id = migrate_to_chat_id


def bad_request(reason: str) -> ApiError:
    """400 with Telegram's prefix; `reason` is the part after `Bad Request: `."""
    return ApiError(400, f"Bad Request: {reason}")


def too_many_requests(retry_after_s: int) -> ApiError:
    """429; Telegram names the seconds in the text and in `parameters.retry_after`."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after_s}", retry_after_s=retry_after_s)
