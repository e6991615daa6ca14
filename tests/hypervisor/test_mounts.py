"""Which file system a path lies on, by the kernel's own table."""

import os

import pytest

from hypervisor.mounts import name_in, storage

TABLE = r"""22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw
30 22 253:1 / /srv rw,relatime shared:2 - xfs /dev/mapper/vg-srv rw
31 30 0:52 / /srv/nfs rw,relatime shared:3 - nfs4 filer:/export/vms rw,addr=10.0.0.1
32 22 0:44 / /run rw,nosuid - tmpfs tmpfs rw
33 22 0:45 / /run/user\040one rw,nosuid - tmpfs tmpfs rw
34 30 253:2 / /srv rw,relatime - ext4 /dev/sdb1 rw
35 22 0:61 / /pool rw - zfs tank/vms rw
36 22 0:70 / /gluster rw - fuse.glusterfs g1:/vol rw
37 22 253:9 / /gfs rw,relatime - gfs2 /dev/mapper/san-vms rw
38 22 253:10 / /ocfs rw,relatime - ocfs2 /dev/sdq rw,_netdev
39 22 0:71 / /gpfs rw - gpfs vms rw
"""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/var/lib/images/web1.qcow2", "local:/dev/mapper/vg-root"),
        ("/srvx/web1.qcow2", "local:/dev/mapper/vg-root"),
        ("/srv", "local:/dev/sdb1"),
        ("/srv/images/web1.qcow2", "local:/dev/sdb1"),
        ("/srv/nfs/web1.qcow2", "net:filer:/export/vms"),
        ("/gluster/web1.qcow2", "net:g1:/vol"),
        ("/gfs/web1.qcow2", "net:gfs2:7c5f-01"),
        ("/ocfs/web1.qcow2", "net:ocfs2:/dev/sdq"),
        ("/gpfs/web1.qcow2", "net:vms"),
        ("/run/a", "local:tmpfs:0:44"),
        ("/run/user one/a", "local:tmpfs:0:45"),
        ("/pool/a", "local:zfs:0:61"),
    ],
)
def test_the_nearest_mount_above_counts(path: str, name: str) -> None:
    """Of two on one point the later; what several hosts may have is named by where it comes from, a shared disk by its UUID."""
    assert name_in(TABLE, path, {"/dev/mapper/san-vms": "7c5f-01"}.get) == name


def test_this_machine_has_one() -> None:
    """By the real table, with the bytes of the real file system, also for what is not there yet."""
    found = storage("/tmp/not/yet/there")
    whole = os.statvfs("/tmp")
    assert found.total_bytes == whole.f_blocks * whole.f_frsize
    assert found.id != "local:unknown"
    assert found.id == storage("/tmp").id
