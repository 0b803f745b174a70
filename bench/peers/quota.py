"""A cgroup with a CPU quota, version 1 or 2, for one child at a time."""
import os

PERIOD_US = 100_000


class Unavailable(Exception):
    """Why no quota can be set here."""


class Group:
    """with Group(cpus) as group: a child that calls group.enter between fork and exec gets so many CPUs."""

    def __init__(self, cpus):
        self._quota_us = max(1000, int(cpus * PERIOD_US))
        self._folder = None
        self.description = ""  # how it is done

    def __enter__(self):
        for root, name in (("/sys/fs/cgroup", "cpu.max"), ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us")):
            if os.path.exists(os.path.join(root, "cgroup.procs")) and self._make(root, name):
                return self
        raise Unavailable("needs root and a writable cgroup with the cpu controller")

    def _make(self, root, name):
        folder = os.path.join(root, f"lull-peers-{os.getpid()}")
        try:
            os.mkdir(folder)
            if name == "cpu.max":
                self._write(folder, name, f"{self._quota_us} {PERIOD_US}")
            else:
                self._write(folder, "cpu.cfs_period_us", str(PERIOD_US))
                self._write(folder, name, str(self._quota_us))
        except OSError:
            if os.path.isdir(folder):
                os.rmdir(folder)
            return False
        self._folder = folder
        version = 2 if name == "cpu.max" else 1
        self.description = f"control group v{version}: {self._quota_us} us of CPU time each {PERIOD_US} us"
        return True

    def enter(self):
        self._write(self._folder, "cgroup.procs", str(os.getpid()))

    def __exit__(self, *unused):
        os.rmdir(self._folder)

    @staticmethod
    def _write(folder, name, text):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)
