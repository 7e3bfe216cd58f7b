"""Every way a call to Pub/Sub fails, in our terms: what to do next, in one line."""

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError

from shared.bus.pubsub_client import PubSubClient
from shared.domain.errors import PermanentError, TransientError


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (exceptions.NotFound("Topic not found"), TransientError, "topic t: not found in project p at 127.0.0.1:1"),
        (exceptions.PermissionDenied("no"), TransientError, "wrong project, or a role is missing"),
        (exceptions.Unauthenticated("expired"), TransientError, "gcloud auth application-default login"),
        (
            exceptions.ServiceUnavailable("Getting metadata from plugin failed with error:\n invalid_grant"),
            TransientError,
            "credentials are missing or expired",
        ),
        (RefreshError("Reauthentication is needed."), TransientError, "gcloud auth application-default login"),
        (exceptions.InvalidArgument("too many"), PermanentError, "Pub/Sub refuses the request"),
        (exceptions.DeadlineExceeded("late"), TransientError, "Pub/Sub does not answer"),
        (exceptions.ResourceExhausted("quota"), TransientError, "quota"),
    ],
)
async def test_a_failure_says_what_to_do_in_one_line(error: Exception, kind: type[Exception], said: str):
    client = PubSubClient.over_emulator("p", "127.0.0.1:1")

    explained = client.explained("topic t", error)

    assert type(explained) is kind or isinstance(explained, kind)
    assert said in str(explained)
    assert "\n" not in str(explained)
    await client.close()
