"""Signatures of minisign (https://jedisct1.github.io/minisign/): Ed25519 over the manifest, which names every file's SHA-256.

A bundle is signed by ``minisign -S -m NAME.fewstep/manifest.json``, which writes ``manifest.json.minisig`` beside it:

    untrusted comment: what anybody may have written
    base64(algorithm (2 bytes), key id (8), signature (64))
    trusted comment: what the signer wrote
    base64(signature (64) of the signature and the trusted comment)

The algorithm is "ED" (of the BLAKE2b-512 of the file) or, in old files, "Ed" (of the file). Needs the extra `signing`.
"""

import base64
import binascii
import hashlib
from pathlib import Path

from fewstep.errors import FewstepError, SignatureError
from fewstep.manifest import SIGNATURE_NAME

_LONGEST = 10_000
_TRUSTED = "trusted comment: "


def require_signed(manifest: bytes, root: Path, public_key: str) -> str:
    """The trusted comment of the signature beside a manifest, after it was found right.

    Args:
        manifest: the bytes of manifest.json.
        root: folder of the bundle.
        public_key: see `fewstep.trust.Trust`.

    Raises:
        SignatureError: there is no signature, or it is not one of these bytes by this key.
        FewstepError: the key is none, or the package `cryptography` is missing.
    """
    path = root / SIGNATURE_NAME
    try:
        with path.open("rb") as stream:
            text = stream.read(_LONGEST).decode("utf-8")
    except FileNotFoundError:
        raise SignatureError(
            f"expected a signed bundle, found no {SIGNATURE_NAME}, in {root}; ask its maker, or leave out --public-key"
        ) from None
    except UnicodeDecodeError:
        raise SignatureError(f"expected a signature of minisign, found something else, in {path}") from None
    return verify(manifest, text, public_key, str(path))


def verify(content: bytes, signature: str, public_key: str, where: str) -> str:
    """The trusted comment of a signature, after it was found right; see `require_signed`."""
    key_id, key = _public_key(public_key)
    lines = signature.splitlines()
    parts = [_decoded(lines[i], size) for i, size in ((1, 74), (3, 64)) if i < len(lines)]
    if len(parts) != 2 or None in parts or not lines[2].startswith(_TRUSTED):
        raise SignatureError(f"expected a signature of minisign, found something else, in {where}")
    own, over_comment = (part or b"" for part in parts)
    if own[2:10] != key_id:
        raise SignatureError(
            f"expected a signature by the key {_name(key_id)}, found one by {_name(own[2:10])}, in {where}; ask its maker"
        )
    if own[:2] not in (b"ED", b"Ed"):
        raise SignatureError(f"expected the algorithm ED or Ed, found {own[:2]!r}, in {where}")
    comment = lines[2].removeprefix(_TRUSTED)
    signed = hashlib.blake2b(content).digest() if own[:2] == b"ED" else content
    if not (_right(key, own[10:], signed) and _right(key, over_comment, own[10:] + comment.encode())):
        raise SignatureError(
            f"expected the signature of the file beside it, found one of something else, in {where}; "
            "the file was changed, fetch the bundle again"
        )
    return comment


def key_text(value: str) -> str:
    """A public key as it is, or the text of the file of that name.

    Raises:
        OSError: the file cannot be read.
    """
    return Path(value).read_text(encoding="utf-8")[:_LONGEST] if Path(value).is_file() else value


def _public_key(text: str) -> tuple[bytes, bytes]:
    """Key id and key."""
    for line in text.splitlines():
        found = _decoded(line, 42)
        if found is not None and found[:2] == b"Ed":
            return found[2:10], found[10:]
    raise FewstepError(
        "expected a public key of minisign (a line that begins with RW, or its file), found none; check --public-key"
    )


def _decoded(line: str, size: int) -> bytes | None:
    try:
        data = base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == size else None


def _right(key: bytes, signature: bytes, content: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise FewstepError(
            "expected the package cryptography for --public-key, found none; install fewstep[signing]"
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _name(key_id: bytes) -> str:
    """A key id as minisign prints it."""
    return key_id[::-1].hex().upper()
