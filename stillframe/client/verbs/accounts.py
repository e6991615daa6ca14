"""Who owns things: accounts, domains and keys, and whose a VM is."""

from collections.abc import Iterable
from typing import Any

from stillframe.client.answers import Account, Domain, GivenVm, Key, NewKey, Page
from stillframe.client.request import Json, change, get, make, part
from stillframe.client.verbs.base import Verbs


class Accounts(Verbs):
    """For administrators; looking is for everybody, as far as they see."""

    def accounts(self, **filters: Any) -> Page[Account]:
        """One page of accounts."""
        return self._ask(get("/v1/accounts", **filters))

    def account(self, account: str) -> Account:
        """One by name, domain/name or id, with its limits and what it uses of them."""
        return self._ask(get(f"/v1/accounts/{part(account)}"))

    def create_account(
        self, name: str, domain: str | None = None, *, idempotency_key: str | None = None
    ) -> Account:
        """In a domain by its path; else in one's own."""
        return self._ask(make("/v1/accounts", {"name": name, "domain": domain}, key=idempotency_key))

    def limit_account(self, account: str, **limits: int | None) -> Account:
        """max_snapshots_a_vm, max_snapshots, max_bytes, max_jobs; None takes one away, what is left out stays."""
        return self._ask(change("PATCH", f"/v1/accounts/{part(account)}", limits))

    def delete_account(self, account: str) -> Json:
        """Only when nothing is left in it; its keys are revoked with it."""
        return self._ask(change("DELETE", f"/v1/accounts/{part(account)}"))

    def domains(self, **filters: Any) -> Page[Domain]:
        """One page of the tree of domains."""
        return self._ask(get("/v1/domains", **filters))

    def domain(self, domain: str) -> Domain:
        """One by path or id, with its limits and what its subtree uses of them."""
        return self._ask(get(f"/v1/domains/{part(domain)}"))

    def create_domain(
        self, name: str, parent: str | None = None, *, idempotency_key: str | None = None
    ) -> Domain:
        """Below another by its path; else below one's own."""
        return self._ask(make("/v1/domains", {"name": name, "parent": parent}, key=idempotency_key))

    def limit_domain(self, domain: str, **limits: int | None) -> Domain:
        """max_snapshots and max_bytes of its subtree; None takes one away, what is left out stays."""
        return self._ask(change("PATCH", f"/v1/domains/{part(domain)}", limits))

    def delete_domain(self, domain: str) -> Json:
        """Only when no account and no domain is in it."""
        return self._ask(change("DELETE", f"/v1/domains/{part(domain)}"))

    def keys(self, **filters: Any) -> Page[Key]:
        """One page of keys, newest first."""
        return self._ask(get("/v1/keys", **filters))

    def key(self, key_id: str) -> Key:
        """One key; what it may do, and when it was used last."""
        return self._ask(get(f"/v1/keys/{part(key_id)}"))

    def create_key(
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
        return self._ask(make("/v1/keys", {**wish, "scopes": rights}, key=idempotency_key))

    def revoke_key(self, key_id: str) -> Key:
        """It opens nothing any more."""
        return self._ask(change("POST", f"/v1/keys/{part(key_id)}/revoke"))

    def assign_vm(self, vm: str, account: str, *, idempotency_key: str | None = None) -> GivenVm:
        """Gives a VM to an account, with its snapshots and extracted volumes; `brought` says how many."""
        return self._ask(make(f"/v1/vms/{part(vm)}:assign", {"account": account}, key=idempotency_key))
