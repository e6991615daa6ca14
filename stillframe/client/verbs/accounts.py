"""Who owns things: accounts, domains and keys, and whose a VM is."""

from collections.abc import Iterable
from typing import Any

from stillframe.client.answers import Account, Domain, Key, NewKey, Page, Vm
from stillframe.client.request import change, get, part
from stillframe.client.verbs.base import Verbs


class Accounts(Verbs):
    """For administrators; looking is for everybody, as far as they see."""

    def accounts(self, **filters: Any) -> Page[Account]:
        """One page of accounts."""
        return self._ask(get("/v1/accounts", **filters))

    def account(self, account: str) -> Account:
        """One by name or id, with its limits and what it uses of them."""
        return self._ask(get(f"/v1/accounts/{part(account)}"))

    def create_account(self, name: str, domain: str | None = None) -> Account:
        """In a domain by its path; else in one's own."""
        return self._ask(change("POST", "/v1/accounts", {"name": name, "domain": domain}))

    def limit_account(self, account: str, **limits: int | None) -> Account:
        """max_snapshots_a_vm, max_snapshots, max_bytes, max_jobs; None takes one away, what is left out stays."""
        return self._ask(change("PATCH", f"/v1/accounts/{part(account)}", limits))

    def domains(self, **filters: Any) -> Page[Domain]:
        """One page of the tree of domains."""
        return self._ask(get("/v1/domains", **filters))

    def domain(self, domain: str) -> Domain:
        """One by path or id, with its limits and what its subtree uses of them."""
        return self._ask(get(f"/v1/domains/{part(domain)}"))

    def create_domain(self, name: str, parent: str | None = None) -> Domain:
        """Below another by its path; else below one's own."""
        return self._ask(change("POST", "/v1/domains", {"name": name, "parent": parent}))

    def limit_domain(self, domain: str, **limits: int | None) -> Domain:
        """max_snapshots and max_bytes of its subtree; None takes one away, what is left out stays."""
        return self._ask(change("PATCH", f"/v1/domains/{part(domain)}", limits))

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
    ) -> NewKey:
        """The answer's `key` is shown this once. `scopes` narrow it to some of what its role may do."""
        wish = {"account": account, "name": name, "role": role, "expires_at": expires_at}
        return self._ask(
            change("POST", "/v1/keys", {**wish, "scopes": None if scopes is None else list(scopes)})
        )

    def revoke_key(self, key_id: str) -> Key:
        """It opens nothing any more."""
        return self._ask(change("POST", f"/v1/keys/{part(key_id)}/revoke"))

    def assign_vm(self, vm: str, account: str) -> Vm:
        """Gives a VM to an account, with its snapshots and extracted volumes."""
        return self._ask(change("POST", f"/v1/vms/{part(vm)}:assign", {"account": account}))
