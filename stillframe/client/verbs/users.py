"""People who log in, made and looked after; and who oneself is."""

from typing import Any

from stillframe.client.answers import Oneself, Page, User
from stillframe.client.request import change, get, make, part
from stillframe.client.verbs.base import Verbs


class Users(Verbs):
    """For administrators; looking is for everybody, as far as they see. People log in elsewhere: a client has a key."""

    def me(self) -> Oneself:
        """Who asks: account, domain, role, rights, and until when the key opens."""
        return self._ask(get("/v1/me"))

    def users(self, **filters: Any) -> Page[User]:
        """One page of users, by name: account, domain, login, q, disabled."""
        return self._ask(get("/v1/users", **filters))

    def user(self, user: str) -> User:
        """One by id, or by a name that only one has of those one sees."""
        return self._ask(get(f"/v1/users/{part(user)}"))

    def create_user(
        self, account: str, name: str, password: str, *, idempotency_key: str | None = None, **wishes: Any
    ) -> User:
        """role, scopes, display_name, email, expires_at. The password is to be changed at the first login."""
        wish = {"account": account, "name": name, "password": password}
        return self._ask(make("/v1/users", wish | wishes, key=idempotency_key))

    def edit_user(self, user: str, **changes: Any) -> User:
        """display_name, email, role, scopes, expires_at; what is left out stays."""
        return self._ask(change("PATCH", f"/v1/users/{part(user)}", changes))

    def set_user_password(self, user: str, password: str) -> User:
        """All the user's logins end. The password is to be changed at the next one."""
        return self._ask(change("POST", f"/v1/users/{part(user)}/password", {"password": password}))

    def disable_user(self, user: str) -> User:
        """No login any more; those that go on end at once."""
        return self._ask(change("POST", f"/v1/users/{part(user)}/disable"))

    def enable_user(self, user: str) -> User:
        """It may log in again."""
        return self._ask(change("POST", f"/v1/users/{part(user)}/enable"))

    def delete_user(self, user: str) -> Any:
        """Its logins end at once; what it did stays under its name."""
        return self._ask(change("DELETE", f"/v1/users/{part(user)}"))
