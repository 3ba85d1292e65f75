"""Signing in by a provider of identities: OpenID Connect Core 1.0, authorization code with PKCE.

The ID token comes from the provider itself, over TLS or from this machine, in the answer to our own
request; section 3.1.3.7, number 6, lets the connection stand for the token's signature. Issuer,
audience, time and nonce are checked.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from glagol.core.errors import HostError, InputError
from glagol.core.hosts import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Provider"]

PENDING_MAX: Final = 1000
PENDING_S: Final = 600.0
"""How long a person may take at the provider."""

_LEEWAY_S: Final = 60.0
_PATIENCE_S: Final = 10.0


class _Endpoints(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class _Pending(msgspec.Struct, frozen=True):
    nonce: str
    verifier: str
    way: str
    at_s: float


class Provider:
    """One provider; used in the thread of the event loop alone.

    Args:
        issuer: Its address; https, or http on this machine.
        client: What this server is called there.
        secret: That the provider gave this server; empty for a public client.
        claim: Of the ID token, that names the person.
        clock: Unix seconds.

    Raises:
        InputError: `setting_invalid`, the issuer is neither reached by TLS nor on this machine.
    """

    def __init__(
        self, issuer: str, client: str, secret: str, claim: str, clock: Callable[[], float]
    ) -> None:
        if not client or not _trusted(issuer):
            raise InputError(
                "setting_invalid",
                "a sign-in by OpenID Connect needs GATEWAY_OIDC_CLIENT, and a GATEWAY_OIDC_ISSUER"
                " that begins with https://",
                "set both as the provider says",
            )
        self._issuer = issuer
        self._client = client
        self._secret = secret
        self._claim = claim
        self._clock = clock
        self._http = httpx.AsyncClient(timeout=_PATIENCE_S, trust_env=False)
        self._pending: dict[str, _Pending] = {}

    async def begin(self, back: str, way: str) -> tuple[str, str]:
        """Where a person goes to sign in, and the state that comes back.

        Args:
            back: The address of this server that the provider leads back to.
            way: The page that the person wanted.

        Raises:
            HostError: `upstream_unreachable`.
        """
        endpoints = await self._endpoints()
        now = self._clock()
        live = {s: p for s, p in self._pending.items() if now - p.at_s < PENDING_S}
        self._pending = dict(list(live.items())[-PENDING_MAX + 1 :])
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._pending[state] = _Pending(nonce, verifier, way, now)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._client,
                "redirect_uri": back,
                "scope": "openid profile email",
                "state": state,
                "nonce": nonce,
                "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
                "code_challenge_method": "S256",
            }
        )
        start = endpoints.authorization_endpoint
        return f"{start}{'&' if '?' in start else '?'}{query}", state

    async def end(self, back: str, state: str, code: str) -> tuple[str, str]:
        """The person's name by the provider, and the page that the person wanted.

        Raises:
            InputError: `key_refused`, the state is unknown or too old, or the token is wrong.
            HostError: `upstream_unreachable`.
        """
        pending = self._pending.pop(state, None)
        if pending is None or self._clock() - pending.at_s >= PENDING_S or not code:
            raise _refused("the sign-in was not begun here, or too long ago")
        endpoints = await self._endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "client_id": self._client,
            "code_verifier": pending.verifier,
        }
        auth = httpx.BasicAuth(self._client, self._secret) if self._secret else httpx.Auth()
        try:
            answer = await self._http.post(endpoints.token_endpoint, data=form, auth=auth)
        except httpx.HTTPError as error:
            raise _away(error) from error
        if not answer.is_success:
            raise _refused(f"the provider refused the code ({answer.status_code})")
        try:
            claims = _claims(msgspec.json.decode(answer.content, type=_Tokens).id_token)
        except (ValueError, msgspec.DecodeError):
            raise _refused("the provider's token cannot be read") from None
        self._check(claims, pending.nonce)
        name = claims.get(self._claim)
        if not isinstance(name, str) or not name:
            raise _refused(f"the provider's token has no claim {self._claim}")
        return name, pending.way

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._http.aclose()

    def _check(self, claims: dict[str, Any], nonce: str) -> None:
        """Section 3.1.3.7 of OpenID Connect Core."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        expires, now = claims.get("exp"), self._clock()
        right = (
            claims.get("iss") == self._issuer
            and self._client in audiences
            and (len(audiences) == 1 or claims.get("azp") == self._client)
            and isinstance(expires, int | float)
            and expires > now - _LEEWAY_S
            and claims.get("nonce") == nonce
        )
        if not right:
            raise _refused("the provider's token is for another server, request or time")

    async def _endpoints(self) -> _Endpoints:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            answer = await self._http.get(url)
            found = msgspec.json.decode(answer.content, type=_Endpoints)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise _away(error) from error
        addresses = (found.authorization_endpoint, found.token_endpoint)
        if found.issuer != self._issuer or not all(map(_trusted, addresses)):
            raise _away(ValueError("issuer"))
        return found


def _trusted(url: str) -> bool:
    """Whether an address is reached by TLS, or on this machine."""
    parts = urlsplit(url)
    here = parts.scheme == "http" and is_loopback(parts.hostname or "")
    return parts.scheme == "https" or here


def _claims(token: str) -> dict[str, Any]:
    """The claims of a JSON Web Token (RFC 7519)."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    return msgspec.json.decode(decoded, type=dict[str, Any])


def _refused(why: str) -> InputError:
    return InputError("key_refused", f"signing in failed: {why}", "begin again")


def _away(error: Exception) -> HostError:
    return HostError(
        "upstream_unreachable",
        f"the provider of identities does not answer ({type(error).__name__})",
        "try again in a moment; the operator checks GATEWAY_OIDC_ISSUER",
    )
