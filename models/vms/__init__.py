"""VMs as their hosts last saw them: volumes, the tree of layers, tags."""
