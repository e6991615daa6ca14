"""Made by `make made` from verbs/accounts.py: the same, to be awaited. Not to be changed by hand."""

from collections.abc import Iterable
from typing import Any

from stillframe.client.answers import Account, Domain, GivenVm, Key, NewKey, Page
from stillframe.client.request import Json, change, get, make, part
from stillframe.client.verbs.awaited.base import Verbs


class Accounts(Verbs):
    """For administrators; looking is for everybody, as far as they see."""

    async def accounts(self, **filters: Any) -> Page[Account]:
        """One page of accounts."""
        return await self._ask(get("/v1/accounts", **filters))

    async def account(self, account: str) -> Account:
        """One by name, domain/name or id, with its limits and what it uses of them."""
        return await self._ask(get(f"/v1/accounts/{part(account)}"))

    async def create_account(
        self, name: str, domain: str | None = None, *, idempotency_key: str | None = None
    ) -> Account:
        """In a domain by its path; else in one's own."""
        return await self._ask(make("/v1/accounts", {"name": name, "domain": domain}, key=idempotency_key))

    async def limit_account(self, account: str, **limits: int | None) -> Account:
        """max_snapshots_a_vm, max_snapshots, max_bytes, max_jobs; None takes one away, what is left out stays."""
        return await self._ask(change("PATCH", f"/v1/accounts/{part(account)}", limits))

    async def delete_account(self, account: str) -> Json:
        """Only when nothing is left in it; its keys are revoked with it."""
        return await self._ask(change("DELETE", f"/v1/accounts/{part(account)}"))

    async def domains(self, **filters: Any) -> Page[Domain]:
        """One page of the tree of domains."""
        return await self._ask(get("/v1/domains", **filters))

    async def domain(self, domain: str) -> Domain:
        """One by path or id, with its limits and what its subtree uses of them."""
        return await self._ask(get(f"/v1/domains/{part(domain)}"))

    async def create_domain(
        self, name: str, parent: str | None = None, *, idempotency_key: str | None = None
    ) -> Domain:
        """Below another by its path; else below one's own."""
        return await self._ask(make("/v1/domains", {"name": name, "parent": parent}, key=idempotency_key))

    async def limit_domain(self, domain: str, **limits: int | None) -> Domain:
        """max_snapshots and max_bytes of its subtree; None takes one away, what is left out stays."""
        return await self._ask(change("PATCH", f"/v1/domains/{part(domain)}", limits))

    async def delete_domain(self, domain: str) -> Json:
        """Only when no account and no domain is in it."""
        return await self._ask(change("DELETE", f"/v1/domains/{part(domain)}"))

    async def keys(self, **filters: Any) -> Page[Key]:
        """One page of keys, newest first."""
        return await self._ask(get("/v1/keys", **filters))

    async def key(self, key_id: str) -> Key:
        """One key; what it may do, and when it was used last."""
        return await self._ask(get(f"/v1/keys/{part(key_id)}"))

    async def create_key(
        self,
        account: str,
        name: str,
        role: str = "user",
        *,
        scopes: Iterable[str] | None = None,
        expires_at: str | None = None,
        idempotency_key: str | None = None,
    ) -> NewKey:
        """The answer's `key` is shown this once. `scopes` narrow it to some of what its role may do.

        It is kept nowhere, so `key` is None in the answer to a request that had been heard before (its first answer was
        lost, or the idempotency key was used before): revoke that one and make another.
        """
        wish = {"account": account, "name": name, "role": role, "expires_at": expires_at}
        rights = None if scopes is None else list(scopes)
        return await self._ask(make("/v1/keys", {**wish, "scopes": rights}, key=idempotency_key))

    async def revoke_key(self, key_id: str) -> Key:
        """It opens nothing any more."""
        return await self._ask(change("POST", f"/v1/keys/{part(key_id)}/revoke"))

    async def assign_vm(self, vm: str, account: str, *, idempotency_key: str | None = None) -> GivenVm:
        """Gives a VM to an account, with its snapshots and extracted volumes; `brought` says how many."""
        return await self._ask(make(f"/v1/vms/{part(vm)}:assign", {"account": account}, key=idempotency_key))
