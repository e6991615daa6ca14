"""Layers are removed, each only if still nobody needs it."""

from stillframe.layers import Tree
from workers import marks
from workers.guard import needed_by
from workers.steps import Output, Work
from workers.storage import check_there


def unlink(work: Work, paths: list[str]) -> Output:
    """Removes layers, top first, if still nobody needs them; says who does otherwise."""
    done = free(work, paths)
    for path in paths:
        if not work.images.exists(path):
            marks.remove(work.images, path)
    return done


def free(work: Work, paths: list[str]) -> Output:
    """Removes them up to the first that somebody needs, and says who; the marks of their merges stay."""
    freed = 0
    for path in paths:
        check_there(work.images, path)
        if user := _who_needs(work, path):
            return {"freed_bytes": freed, "kept": path, "needed_by": user}
        freed += work.images.size_bytes(path)
        work.images.remove(path)
    return {"freed_bytes": freed}


def _who_needs(work: Work, path: str) -> str | None:
    tree = work.reader.tree(work.vm.facts())
    if user := user_of(tree, path) or put_aside(work, tree, [path]):
        return user
    user = needed_by(work, [path], tree, own_too=True)
    if user and work.vm.let_go(path):
        return needed_by(work, [path], tree, own_too=True)
    return user


def user_of(tree: Tree, path: str) -> str | None:
    """Who in this VM's own tree needs a layer."""
    if tree.is_head(path):
        return "the VM"
    if snapshots := tree.snapshots_at(path):
        return f"snapshot {snapshots[0]}"
    return next(iter(tree.children(path)), None)


def put_aside(work: Work, tree: Tree, paths: list[str]) -> str | None:
    """Why these may not be touched though nobody names them: the disk was detached since the acts were planned, or an
    image that is not ours was put on one of them.
    """
    ours = {work.images.identity(path) for path in tree.layers if path not in tree.pinned}
    for path in paths:
        identity = work.images.identity(path)
        if identity and identity not in ours:
            return f"perhaps somebody: {path} is, or is under, a disk that was put aside"
    return None
