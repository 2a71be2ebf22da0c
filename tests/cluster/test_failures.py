"""What gloo says of a peer becomes a rank, a cause and a piece of advice."""

import pytest

from course_lib.cluster import failures

SILENT = "[/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation to complete"
GONE = "[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:20164. This is typically caused by a crash. GLHF!"


@pytest.mark.parametrize(("said", "cause", "peer", "message"), [
    (SILENT, "hung", 3, r"rank 1 waited for rank 3 in vain \(Timed out waiting 3000ms .* complete\): is it stuck"),
    (SILENT, "hung", None, "rank 1 waited for another rank in vain"),
    (GONE, "died", 3, r"rank 1 lost rank 3 \(Connection closed by peer \[127\.0\.0\.1\]:20164\): it has ended"),
])  # fmt: skip
def test_a_rank_that_waited_in_vain_says_for_whom(said: str, cause: str, peer: int | None, message: str) -> None:
    error = RuntimeError(said)
    with pytest.raises(failures.WorkerError, match=message) as caught:
        raise failures.lost(1, peer, error)
    assert (caught.value.rank, caught.value.cause, caught.value.original) == (
        -1 if peer is None else peer,
        cause,
        error,
    )
