"""The keys that two clients agree on through the server, which sees only their public halves."""

from course_lib.privacy.secure_aggregation import crypto
from course_lib.privacy.secure_aggregation.errors import RefusedError
from course_lib.privacy.secure_aggregation.settings import Settings

PAIR_MASK, SEAL = "pair mask", "seal"  # what a key is for


def pair_key(
    settings: Settings, purpose: str, private: crypto.PrivateKey, own: int, public: bytes, other: int
) -> bytes:
    """Return the 32 bytes that clients `own` and `other` share for one purpose; both get the same.

    Raises RefusedError, naming `other`, for a public key with which everybody would agree on the same.
    """
    try:
        return crypto.agree(private, public, settings.context(purpose, *sorted((own, other))))
    except ValueError:
        raise RefusedError(other, "its public key is one with which everybody would agree on the same") from None
