"""Write the libvirt definition of a lab guest; pure text, touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
EMPTY_NVRAM = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

#: What nobody misses in an emulated guest; a seventh of what its boot costs.
_QUICKER = "mitigations=off nokaslr no_timer_check cryptomgr.notests tsc=reliable rcupdate.rcu_expedited=1"


@dataclass(frozen=True, slots=True)
class Disk:
    """One virtio disk: its image and the image's format (qcow2 or raw)."""

    path: Path
    format: str


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything that makes one lab guest different from another."""

    name: str
    memory_mib: int
    disks: Mapping[str, Disk]
    kernel: Path
    initramfs: Path
    arguments: Mapping[str, int]
    serial: Path
    nvram: Path | None
    agent: bool

    def xml(self) -> str:
        """The `<domain>` for virDomainDefineXML: emulated (TCG), booted straight into a kernel."""
        return f"""\
<domain type='qemu'>
  <name>{self.name}</name>
  <memory unit='MiB'>{self.memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine={"'q35'" if self.nvram else "'pc'"}>hvm</type>{self._firmware()}
    <kernel>{self.kernel}</kernel>
    <initrd>{self.initramfs}</initrd>
    <cmdline>{self._command_line()}</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {"".join(map(self._disk, self.disks))}
    <serial type='file'>
      <source path={quoteattr(str(self.serial))} append='on'/><target port='0'/>
    </serial>{_AGENT if self.agent else ""}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""

    def _firmware(self) -> str:
        if self.nvram is None:
            return ""
        return f"""
    <loader readonly='yes' type='pflash'>{FIRMWARE}</loader>
    <nvram template='{EMPTY_NVRAM}'>{self.nvram}</nvram>"""

    def _command_line(self) -> str:
        chosen = " ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"console=ttyS0 quiet panic=-1 {_QUICKER} {chosen}"

    def _disk(self, target: str) -> str:
        disk = self.disks[target]
        return f"""<disk type='file' device='disk'>
      <driver name='qemu' type='{disk.format}'/>
      <source file={quoteattr(str(disk.path))}/><target dev='{target}' bus='virtio'/>
    </disk>
    """


_AGENT = """
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"""
