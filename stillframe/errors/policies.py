"""Policies: names, and what would never work."""

from stillframe.errors.families import Invalid, NotFound, Refused


class PolicyNotFound(NotFound):
    """There is no policy "{policy}"."""

    code = "policy.not_found"
    remedy = "`stillframe policy list` shows the policies."


class PolicyNameAmbiguous(Invalid):
    """The name "{policy}" belongs to several policies: {candidates}."""

    code = "policy.name_ambiguous"
    remedy = "Name the policy by its id."


class PolicyNameTaken(Refused):
    """There is already a policy named "{name}"."""

    code = "policy.name_taken"
    remedy = "Choose another name, or edit that policy."


class PolicyVmNotSetAside(Refused):
    """Policy "{policy}" has not set aside VM "{vm}"."""

    code = "policy.vm_not_set_aside"
    remedy = "`stillframe policy vms {policy}` shows how it fares with each of its VMs."


class PolicyMatchesNothing(Refused):
    """The selector matches no VM at this moment."""

    code = "policy.matches_nothing"
    remedy = (
        "Check names and tags with `stillframe vm list`; to mean VMs that are still to come, ask with `allow_empty` "
        "(`--allow-empty`)."
    )


class PolicyTooFast(Refused):
    """It fires {gap} after the last time, and of its {vms} VMs the quickest, "{vm}", lately took {took} for a snapshot."""

    code = "policy.too_fast"
    remedy = (
        "Let it fire less often. If its storage is faster now, take some snapshots of its VMs by hand: "
        "the last five of each VM count."
    )
