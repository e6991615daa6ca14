"""What lies beside the homes of a host's VMs and belongs to none of them: told, and never touched."""

from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from hypervisor.port import Images, VmFacts
from stillframe.findings import REMEDY, Finding, Kind
from workers.reading import Reader
from workers.reconcile.look import id_in


def examine(
    images: Images, vms: Sequence[VmFacts], elsewhere: Collection[UUID], block_layers_folder: str
) -> Iterator[Finding]:
    """Homes of VMs that this host does not have. Those of `elsewhere` live on another that shares the storage."""
    reader = Reader(images, block_layers_folder, {})
    here = {vm.uuid for vm in vms} | set(elsewhere)
    folders = {home.rsplit("/", 1)[0] for vm in vms for home in reader.homes(vm)}
    for folder in sorted(folders):
        for path in images.listing(folder):
            vm = id_in(path)
            if vm is None or str(vm) != path.rsplit("/", 1)[1] or vm in here:
                continue
            yield Finding(
                kind=Kind.HOME_LEFT,
                vm="",
                vm_id=str(vm),
                subject=path,
                detail="The home of a VM that is not on this host.",
                remedy=REMEDY[Kind.HOME_LEFT],
                bytes=sum(images.size_bytes(inside) for inside in images.listing(path)),
            )
