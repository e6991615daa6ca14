"""Hypervisors and what their workers say of them: their rows, draining, rescans, VMs that move."""
