"""The process in which a runtime runs: started at first need, kept for many requests, restarted."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import IO

import sim
from sim.deploy.runtime_protocol import Answer, Request, receive, send

PATIENCE_S = 600.0
"""A broken plan can make a runtime loop for ever; after this long its process is ended."""


class RuntimeProcess:
    """One process that serves one request at a time; a crash ends only that process."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="spillway-")  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Request) -> tuple[Answer | None, str]:
        """The answer, and what the runtime printed; without an answer, how it ended."""
        with self._lock:
            start = self._log_bytes()
            process = self._running()
            timer = threading.Timer(self._patience_s, process.kill)
            timer.start()
            try:
                answer = _exchange(process, request)
            finally:
                timer.cancel()
            log = os.pread(self._log.fileno(), self._log_bytes() - start, start)
            text = log.decode("utf-8", "replace")
            if answer is None:
                text = f"{_last_words(process)}\n{text}"
                self._end()
            return answer, text

    def close(self) -> None:
        """Ends the process; the next request starts another."""
        with self._lock:
            self._end()

    def _log_bytes(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        source = str(Path(sim.__file__).resolve().parent.parent)
        known = os.environ.get("PYTHONPATH")
        path = f"{source}{os.pathsep}{known}" if known else source
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sim.deploy.runtime_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close(pipe)


def _exchange(process: subprocess.Popen[bytes], request: Request) -> Answer | None:
    if process.stdin is None or process.stdout is None:
        return None
    try:
        send(process.stdin, request)
    except OSError:
        return None
    answer = receive(process.stdout)
    return answer if isinstance(answer, Answer) else None


def _last_words(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code >= 0:
        return f"its process ended with exit code {code}"
    return f"its process crashed ({signal.Signals(-code).name})"


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:
        return


@cache
def runtime_process(runtime: str, owner: int) -> RuntimeProcess:
    """The runtime's process that belongs to the Python process `owner`; a fork gets its own."""
    process = RuntimeProcess()
    atexit.register(process.close)
    return process
