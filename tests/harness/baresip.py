"""baresip as a phone: configured into a folder of its own, driven over its control port, ended by its PID.

It writes what it heard and what it sent to WAV files in its folder; the heard one stops at the first re-INVITE, so audio after a hold is
judged from a capture. It can spin when it is asked to end while its registrar is gone, so it is killed once it has had time to say goodbye.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import audio
from harness.ports import free_block
from harness.processes import end, wait_for_growth, wait_until

MODULES = "/usr/lib/baresip/modules"
START_WITHIN_S = 10.0

CONFIG = """\
sip_listen {host}:{sip_port}
audio_player aufile,/dev/null
audio_source aufile,{voice}
audio_alert aufile,/dev/null
rtp_ports {rtp_first}-{rtp_last}
module_path {modules}
module g711.so
module aufile.so
module sndfile.so
module uuid.so
module srtp.so
module account.so
module menu.so
module ctrl_tcp.so
ctrl_tcp_listen {host}:{control_port}
snd_path {folder}
"""


class Baresip:
    """One baresip; use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        user: str,
        server: tuple[str, int],
        password: str = "",
        domain: str = "",
        register: bool = False,
        answer: str = "auto",
        codecs: str = "pcmu,pcma",
        transport: str = "udp",
        media_encryption: str = "",
        trusts: Path | None = None,
        voice_hz: float = 440.0,
        host: str = "127.0.0.1",
    ) -> None:
        """``media_encryption``: ``srtp`` or ``srtp-mand``; ``trusts``: the PEM file that the server's certificate is judged by."""
        folder.mkdir(parents=True, exist_ok=True)
        base = free_block(30)
        self.folder, self.user, self.host = folder, user, host
        self.domain = domain or f"{server[0]}:{server[1]}"
        self.sip_port, self._control_port = base, base + 9  # the TLS listener would take base + 1
        voice = audio.write_wav(folder / "voice.wav", audio.tone(voice_hz, 30.0))
        (folder / "config").write_text(
            CONFIG.format(
                host=host,
                sip_port=base,
                control_port=base + 9,
                rtp_first=base + 10,
                rtp_last=base + 28,
                voice=voice,
                folder=folder,
                modules=MODULES,
            )
            + (f"sip_cafile {trusts}\n" if trusts else "")
        )
        account = (
            f"<sip:{user}@{self.domain};transport={transport}>;audio_codecs={codecs};answermode={answer};regint={60 if register else 0}"
        )
        account += f";auth_user={user};auth_pass={password}" if password else ""
        account += f";mediaenc={media_encryption}" if media_encryption else ""
        account += f';outbound="sip:{server[0]}:{server[1]};transport={transport}"'
        (folder / "accounts").write_text(account + "\n")
        (folder / "contacts").write_text("")
        self.events: list[dict[str, Any]] = []
        self._answers: dict[str, dict[str, Any]] = {}
        self._tokens = itertools.count(1)
        self._heard = threading.Condition()
        self._log = open(folder / "baresip.log", "wb")  # noqa: SIM115 - closed with the phone
        command = ["baresip", "-f", str(folder), "-4", "-n", host]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self._control = self._connect()
        except BaseException:
            self._end()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @staticmethod
    def available() -> bool:
        return shutil.which("baresip") is not None

    # --- control

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                return socket.create_connection((self.host, self._control_port), timeout=1)
            except OSError:
                log = (self.folder / "baresip.log").read_text(errors="replace")
                assert self._process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.02)  # the port says nothing before it is there

    def _read(self) -> None:
        self._control.settimeout(None)
        buffer = b""
        while True:
            try:
                data = self._control.recv(65_536)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while (colon := buffer.find(b":")) > 0 and len(buffer) >= (end_ := colon + 1 + int(buffer[:colon])) + 1:
                self._take(json.loads(buffer[colon + 1 : end_]))
                buffer = buffer[end_ + 1 :]

    def _take(self, message: dict[str, Any]) -> None:
        with self._heard:
            if message.get("event"):
                self.events.append(message)
            else:
                self._answers[message.get("token", "")] = message
            self._heard.notify_all()

    def command(self, command: str, params: str = "", *, within_s: float = 5.0) -> str:
        """Run a command; returns what it said."""
        token = str(next(self._tokens))
        text = json.dumps({"command": command, "params": params, "token": token}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))
        with self._heard:
            assert self._heard.wait_for(lambda: token in self._answers, within_s), f"{self.user}: no answer to {command}"
            answer = self._answers.pop(token)
        assert answer.get("ok"), f"{self.user}: {command} {params}: {answer}"
        return str(answer.get("data", ""))

    def wait_for(self, event: str, *, within_s: float = 10.0, skip: int = 0) -> dict[str, Any]:
        """Return the event of that type, after ``skip`` of them; fails with the types that came instead."""

        def found() -> list[dict[str, Any]]:
            return [message for message in self.events if message.get("type") == event][skip : skip + 1]

        with self._heard:
            self._heard.wait_for(found, within_s)
            assert found(), f"{self.user} waited for {event}; came: {[message.get('type') for message in self.events]}"
            return found()[0]

    # --- the phone

    def wait_until_registered(self, *, within_s: float = 10.0) -> None:
        """Wait for the registrar's 200. The event is often over before the control connection is up, so the log is read."""
        wait_until(lambda: b"binding" in self._log_so_far(), within_s, lambda: self._log_so_far().decode(errors="replace"))

    def _log_so_far(self) -> bytes:
        return (self.folder / "baresip.log").read_bytes()

    def dial(self, target: str) -> None:
        """Call a number at the server, or a whole ``sip:`` URI."""
        self.command("dial", target if target.startswith("sip:") else f"sip:{target}@{self.domain}")

    def hang_up(self) -> None:
        self.command("hangup")

    def hold(self) -> None:
        self.command("hold")

    def resume(self) -> None:
        self.command("resume")

    def press(self, digits: str) -> None:
        """Send RFC 4733 digits, one after the other."""
        for digit in digits:
            self.command("sndcode", digit)
            time.sleep(0.15)  # the phone has no word for the end of a digit; keys are pressed and released in real time
            self.command("sndcode", "\x04")

    def wait_until_heard(self, seconds: float, *, within_s: float = 10.0) -> None:
        """Wait until the last call has heard that much; the phone writes its file in real time and tells nobody."""
        wait_for_growth(self.heard, seconds, within_s)

    def heard(self) -> audio.Pcm:
        """Return what the last call heard so far."""
        return self._recording("dec")

    def sent(self) -> audio.Pcm:
        """Return what the last call sent so far."""
        return self._recording("enc")

    def _recording(self, which: str) -> audio.Pcm:
        files = sorted(self.folder.glob(f"dump-*-{which}.wav"), key=lambda path: path.stat().st_mtime)
        if not files:
            return np.zeros(0, np.int16)
        data = files[-1].read_bytes()[44:]  # the header's length is right only after the call
        return np.frombuffer(data[: len(data) // 2 * 2], np.int16)

    # --- the end

    def close(self) -> None:
        """End it by its PID; calls are hung up if it listens to SIGTERM."""
        self._control.shutdown(socket.SHUT_RDWR)  # wakes the reader
        self._reader.join(2)
        self._control.close()
        self._end()

    def _end(self) -> None:
        end(self._process, first=signal.SIGTERM, within_s=0.4)  # by then it has said goodbye to calls and registrar
        self._log.close()

    def __enter__(self) -> Baresip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
