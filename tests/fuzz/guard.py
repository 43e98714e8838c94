"""What a process that reads hostile files may do, and how it is noticed.

An audit hook hears of code that is run or made, of programs and libraries that are
started, of connections, and of files outside of a folder. Whatever is forbidden raises
`Forbidden`, which is no `Exception`, so that no reader takes it for damage.
"""

import contextlib
import os
import resource
import sys

_CODE = (
    "exec",
    "code.__new__",
    "function.__new__",
    "marshal.loads",
    "pickle.find_class",
)
_CODE += ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn")
_CODE += ("subprocess.Popen", "ctypes.dlopen", "urllib.Request")
_PATHS = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink")
_PATHS += ("os.chmod", "os.chown", "os.truncate", "os.utime", "os.chdir", "os.mkfifo")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READ_ANYWHERE = ("/proc/self/statm", "/dev/null", "/dev/urandom")


class Forbidden(BaseException):
    """Something that reading a file must never do."""


class Guard:
    """Forbids, from its first use as a context on.

    Args:
        folder: Path, outside of which nothing is written, and nothing read but code
            of what is installed.
    """

    def __init__(self, folder):
        self.folder = os.path.realpath(folder) + os.sep
        self.inside = set()  # names of files that are known to be there
        root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        prefixes = (sys.prefix, sys.base_prefix, os.path.join(root, "keras_spiking"))
        self.installed = tuple(os.path.realpath(p) + os.sep for p in prefixes)
        self.heard = []
        self.active = False
        self.known = set()
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def __call__(self):
        if not self.known:
            self.known = {name.partition(".")[0] for name in sys.modules}
        self.heard.clear()
        self.active = True
        try:
            yield
        finally:
            self.active = False

    @contextlib.contextmanager
    def lifted(self):
        """For what the harness itself does meanwhile."""
        before, self.active = self.active, False
        try:
            yield
        finally:
            self.active = before

    def _hear(self, event, args):
        if not self.active:
            return
        self.active = False  # what follows may cause events itself
        try:
            reason = self._reason(event, args)
        finally:
            self.active = True
        if reason:
            self.heard.append(reason)
            raise Forbidden(reason)

    def _reason(self, event, args):
        if event == "import":
            top = str(args[0]).partition(".")[0]
            return None if top in self.known else f"imports {args[0]}"
        if event == "compile":  # `ast.literal_eval` gives no name of a file
            return None if args[1] == "<unknown>" else f"compiles {args[1]!r}"
        if event in ("exec", "marshal.loads") and _imports():
            return None
        if event in _CODE or event.startswith("socket."):
            return f"{event} {str(args)[:200]}"
        if event == "open":
            path, _, flags = args
            if not isinstance(path, (str, bytes)):
                return None
            return self._outside(event, path, bool((flags or 0) & _WRITES))
        if event in _PATHS:
            paths = [path for path in args[:2] if isinstance(path, (str, bytes))]
            if event == "os.symlink":  # what it points to is followed by no one here
                paths = paths[1:]
            descriptors = [a for a in args if isinstance(a, int) and a > 2]
            if descriptors and event in ("os.remove", "os.rmdir"):
                return None  # `shutil.rmtree`, which follows no links
            return next(
                filter(None, (self._outside(event, p, True) for p in paths)), None
            )
        return None

    def _outside(self, event, path, writes):
        path = os.fsdecode(path)
        if path in self.inside:
            return None
        parent = os.path.realpath(os.path.dirname(path) or ".")
        place = os.path.join(parent, os.path.basename(path))
        if event == "open":
            place = os.path.realpath(path)
        if (place + os.sep).startswith(self.folder):
            return None
        if not writes and (path in _READ_ANYWHERE or place.startswith(self.installed)):
            return None
        return f"{event} {'for writing ' if writes else ''}{path}"


def _imports():
    """Whether Python's machinery of imports is at work."""
    frame = sys._getframe(2)
    for _ in range(8):
        if frame is None:
            return False
        if "importlib._bootstrap" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def limit_memory(room):
    """Allows this process so many bytes of address space beyond what it has."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A file that unpacks to more is a finding, too.
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def peak():
    """The most memory, in bytes, that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
