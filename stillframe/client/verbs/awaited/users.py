"""Made by `make made` from verbs/users.py: the same, to be awaited. Not to be changed by hand."""

from typing import Any

from stillframe.client.answers import Oneself, Page, User
from stillframe.client.request import change, get, make, part
from stillframe.client.verbs.awaited.base import Verbs


class Users(Verbs):
    """For administrators; looking is for everybody, as far as they see. People log in elsewhere: a client has a key."""

    async def me(self) -> Oneself:
        """Who asks: account, domain, role, rights, and until when the key opens."""
        return await self._ask(get("/v1/me"))

    async def users(self, **filters: Any) -> Page[User]:
        """One page of users, by name: account, domain, login, q, disabled."""
        return await self._ask(get("/v1/users", **filters))

    async def user(self, user: str) -> User:
        """One by id, or by a name that only one has of those one sees."""
        return await self._ask(get(f"/v1/users/{part(user)}"))

    async def create_user(
        self, account: str, name: str, password: str, *, idempotency_key: str | None = None, **wishes: Any
    ) -> User:
        """role, scopes, display_name, email, expires_at. The password is to be changed at the first login."""
        wish = {"account": account, "name": name, "password": password}
        return await self._ask(make("/v1/users", wish | wishes, key=idempotency_key))

    async def edit_user(self, user: str, **changes: Any) -> User:
        """display_name, email, role, scopes, expires_at; what is left out stays."""
        return await self._ask(change("PATCH", f"/v1/users/{part(user)}", changes))

    async def set_user_password(self, user: str, password: str) -> User:
        """All the user's logins end. The password is to be changed at the next one."""
        return await self._ask(change("POST", f"/v1/users/{part(user)}/password", {"password": password}))

    async def disable_user(self, user: str) -> User:
        """No login any more; those that go on end at once."""
        return await self._ask(change("POST", f"/v1/users/{part(user)}/disable"))

    async def enable_user(self, user: str) -> User:
        """It may log in again."""
        return await self._ask(change("POST", f"/v1/users/{part(user)}/enable"))

    async def delete_user(self, user: str) -> Any:
        """Its logins end at once; what it did stays under its name."""
        return await self._ask(change("DELETE", f"/v1/users/{part(user)}"))
