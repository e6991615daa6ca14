"""What is on a host against what should be: what a dead worker, a dead libvirtd, a full disk or a person has left behind.

It looks in a fixed order, for what is found first hurts most: a guest that is frozen, block jobs, pauses with their reason,
the chains, the snapshots, files that nobody needs, what others made. It knows the port and asks the rows through
`models.snapshots.remembered.Rows`; it changes nothing but by the repair of a finding.
"""
