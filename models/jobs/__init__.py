"""Jobs: asked for, published, claimed, carried, ended."""
