"""Every call to a cryptographic primitive that secure aggregation makes, all from the `cryptography` package.

X25519 key agreement (RFC 7748), HKDF with SHA-256 (RFC 5869), AES-256-GCM for sealed shares (NIST SP 800-38D), ChaCha20 as the
stream cipher of the masks (RFC 8439), SHA-256 as a commitment to a share.
"""

import random
import secrets
from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from course_lib.learning import keys

PrivateKey = X25519PrivateKey
KEY_BYTES = 32
NONCE_BYTES, TAG_BYTES = 12, 16
DIGEST_BYTES = 32
# Returns so many random bytes.
Source = Callable[[int], bytes]
system_source: Source = secrets.token_bytes


def insecure_source(seed: int, client: int, round_index: int = 0) -> Source:
    """Return a source of bytes that is the same every time: for tests, and for a lesson that must repeat. It protects NOTHING:
    whoever knows the seed, or guesses it, removes every mask."""
    return random.Random(keys.key(seed, "insecure source", round_index, client)).randbytes


def public_bytes(private: PrivateKey) -> bytes:
    """Return the 32 bytes that go with a private key, for everybody to see."""
    return private.public_key().public_bytes_raw()


def agree(private: PrivateKey, public: bytes, context: bytes) -> bytes:
    """Return the 32 bytes that both holders of a private key get from the other's public one, for one purpose.

    Raises ValueError for a public key with which everybody would agree on the same.
    """
    return derive(private.exchange(X25519PublicKey.from_public_bytes(public)), context)


def derive(secret: bytes, context: bytes) -> bytes:
    """Return 32 bytes that depend on both; who sees them learns nothing about the secret."""
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=context).derive(secret)


def stream(key: bytes, size: int) -> bytes:
    """Return `size` bytes of the key's stream. A key must be used for one purpose only: the nonce is always 0."""
    return Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(_zeros(size))


@lru_cache(maxsize=2)
def _zeros(size: int) -> bytes:
    return bytes(size)


def seal(key: bytes, plain: bytes, context: bytes, source: Source) -> bytes:
    """Return `plain` encrypted and authenticated, 28 bytes longer."""
    nonce = source(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return what was sealed. Raises ValueError when it was changed, or sealed with another key or for another context."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except InvalidTag:
        raise ValueError("it was changed on the way, or sealed for another pair or round") from None


def digest(secret: bytes) -> bytes:
    """Return a commitment to a secret that nobody can guess: it can be checked later, and until then says nothing."""
    hasher = hashes.Hash(hashes.SHA256())
    hasher.update(secret)
    return hasher.finalize()
