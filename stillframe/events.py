"""The types of events: immutable facts, past tense, `noun.happened`."""

from enum import StrEnum


class EventType(StrEnum):
    JOB_QUEUED = "job.queued"
    JOB_STARTED = "job.started"
    JOB_TAKEN_OVER = "job.taken_over"
    JOB_TURNED_BACK = "job.turned_back"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_STUCK = "job.stuck"
    JOB_REQUEUED = "job.requeued"
    JOB_EXPIRED = "job.expired"
    #: Its VM is not on the host any more: no worker holds it until the VM is seen.
    JOB_LET_GO = "job.let_go"
    #: Its VM lives on another host now, and the job goes there.
    JOB_FOLLOWED = "job.followed"
    #: A person decided about a stuck job: resume, rollback or mark_done.
    JOB_RECOVERED = "job.recovered"
    CANCEL_REQUESTED = "job.cancel_requested"
    STEP_STARTED = "step.started"
    STEP_FINISHED = "step.finished"
    STEP_UNDONE = "step.undone"
    SNAPSHOT_READY = "snapshot.ready"
    SNAPSHOT_REVERTED = "snapshot.reverted"
    SNAPSHOT_DELETED = "snapshot.deleted"
    #: It is to be deleted together with others; why, if a policy asks.
    SNAPSHOT_CONDEMNED = "snapshot.condemned"
    #: It was to be deleted together with others, and was left out.
    SNAPSHOT_SPARED = "snapshot.spared"
    SNAPSHOT_FAILED = "snapshot.failed"
    SNAPSHOT_EDITED = "snapshot.edited"
    SNAPSHOT_HELD = "snapshot.held"
    SNAPSHOT_RELEASED = "snapshot.released"
    #: Its time is over, and it cannot be deleted yet: tried again, told once.
    SNAPSHOT_EXPIRY_REFUSED = "snapshot.expiry_refused"
    #: Another tool made it, and it was seen on a host.
    SNAPSHOT_FOUND = "snapshot.found"
    #: Its manifest was found on a host, and no row knew of it.
    SNAPSHOT_ADOPTED = "snapshot.adopted"
    #: Its row says it is whole, and nothing of it is on the host.
    SNAPSHOT_LOST = "snapshot.lost"
    #: Its image was found on a host, and no row knew of it.
    VOLUME_ADOPTED = "volume.adopted"
    #: Its row says it is whole, and its image is gone.
    VOLUME_LOST = "volume.lost"
    VOLUME_EXTRACTED = "volume.extracted"
    VOLUME_CHECKSUMMED = "volume.checksummed"
    VOLUME_DELETED = "volume.deleted"
    POLICY_CREATED = "policy.created"
    POLICY_EDITED = "policy.edited"
    POLICY_PAUSED = "policy.paused"
    POLICY_RESUMED = "policy.resumed"
    #: It suspended itself: each of its VMs is set aside, or what it asks for cannot be read.
    POLICY_SUSPENDED = "policy.suspended"
    #: Too many snapshots of one VM failed: it is skipped, until a person resumes it or one succeeds.
    POLICY_VM_SET_ASIDE = "policy.vm_set_aside"
    POLICY_VM_RESUMED = "policy.vm_resumed"
    #: A person had it fire besides its schedules.
    POLICY_RUN = "policy.run"
    #: What it does not keep could not be asked to be deleted: a warning.
    POLICY_PRUNE_REFUSED = "policy.prune_refused"
    #: It had decided about times to come, by a clock that was ahead; it begins again now: a warning.
    POLICY_CLOCK_WENT_BACK = "policy.clock_went_back"
    POLICY_DELETED = "policy.deleted"
    #: A volume of its snapshot could not be asked to be extracted.
    POLICY_EXTRACT_REFUSED = "policy.extract_refused"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_EDITED = "webhook.edited"
    WEBHOOK_PAUSED = "webhook.paused"
    WEBHOOK_RESUMED = "webhook.resumed"
    #: Its endpoint has taken nothing for a day, or said that it is gone: a warning.
    WEBHOOK_SUSPENDED = "webhook.suspended"
    #: A person wanted to see whether it arrives.
    WEBHOOK_PINGED = "webhook.pinged"
    WEBHOOK_DELETED = "webhook.deleted"
    COMMENT_ADDED = "comment.added"
    DOMAIN_CREATED = "domain.created"
    DOMAIN_LIMITED = "domain.limited"
    DOMAIN_DELETED = "domain.deleted"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_LIMITED = "account.limited"
    #: Its keys were revoked with it.
    ACCOUNT_DELETED = "account.deleted"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    USER_CREATED = "user.created"
    USER_EDITED = "user.edited"
    #: By somebody else.
    USER_PASSWORD_SET = "user.password_set"  # noqa: S105 - the name of an event
    #: By the user.
    USER_PASSWORD_CHANGED = "user.password_changed"  # noqa: S105 - the name of an event
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    #: A user logged in.
    SESSION_BEGAN = "session.began"
    #: A user logged out, or ended one of their logins.
    SESSION_ENDED = "session.ended"
    #: So many logins failed that more are refused for a while: a warning.
    LOGIN_FAILED = "login.failed"
    #: It was given to the account whose event this is.
    VM_ASSIGNED = "vm.assigned"
    #: It was given to another account.
    VM_GIVEN_AWAY = "vm.given_away"
    HOST_REGISTERED = "host.registered"
    HOST_DRAINED = "host.drained"
    HOST_UNDRAINED = "host.undrained"
    HOST_RESCANNED = "host.rescanned"
    VM_SEEN = "vm.seen"
    VM_CHANGED = "vm.changed"
    VM_GONE = "vm.gone"
    #: It runs on two hosts under one uuid: an alarm.
    VM_ON_TWO_HOSTS = "vm.on_two_hosts"
    VM_ON_ONE_HOST = "vm.on_one_host"
    VM_TAGGED = "vm.tagged"
    #: Something of it is not as it should be, and was not put right.
    VM_DRIFTED = "vm.drifted"
    #: What a dead worker, a dead libvirtd or a full disk had left of it was put right.
    VM_MENDED = "vm.mended"
    #: The watchdog ended a freeze that Stillframe had begun.
    GUEST_THAWED = "guest.thawed"
    #: A freeze that Stillframe had begun could not be ended: an alarm.
    GUEST_STILL_FROZEN = "guest.still_frozen"
    #: The watchdog ended a pause that Stillframe had begun.
    VM_RESUMED = "vm.resumed"
    #: A pause that Stillframe had begun could not be ended: an alarm.
    VM_STILL_PAUSED = "vm.still_paused"
    #: A host's watchdog gives no sign of life: a warning.
    WATCHDOG_SILENT = "watchdog.silent"
    WATCHDOG_BACK = "watchdog.back"


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


#: Who asks for a level means these; without one here, all.
OR_WORSE = {Level.WARNING: (Level.WARNING, Level.ERROR), Level.ERROR: (Level.ERROR,)}
