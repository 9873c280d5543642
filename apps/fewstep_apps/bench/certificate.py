"""A certificate of this machine's own for one run, made by OpenSSL's command."""

import ssl
import subprocess
from pathlib import Path

from fewstep.errors import FewstepError


def context(host: str, folder: Path) -> ssl.SSLContext:
    """TLS with a new key for that address; browsers warn of it, since nobody else vouches for it.

    Raises:
        FewstepError: there is no openssl.
    """
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "1", "-subj", "/CN=fewstep bench", "-addext", f"subjectAltName=IP:{host}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise FewstepError(
            "expected the command openssl for --device web-https, found none that works; install OpenSSL or use --device web"
        ) from None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made
