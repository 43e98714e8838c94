"""Children of this process, in which a test can break what it likes."""

import os
import signal
import time
import traceback

DEADLINE = 20.0  # seconds


def start(function, *args):
    """Runs a function in a child; returns its process number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        function(*args)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end_of(process, seconds=DEADLINE):
    """The exit code of a child, minus the signal that ended it, or `None`: it hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def run(function, *args):
    """The exit code of a child that runs a function."""
    return end_of(start(function, *args))


def die(*args, **kwargs):
    """What a child calls where it is to be killed."""
    os.kill(os.getpid(), signal.SIGKILL)
