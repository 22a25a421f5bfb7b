"""Stories without anybody at a terminal: profiles loaded at boot, and the watcher that notifies a desktop's user."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ..lab.incumbent_tree import V27, Release
from ..lab.lab import PROXY_PORT
from ..lab.network import SERVER_ADDRESS
from ..lab.pki import Pki
from ..lab.processes import Process
from ..lab.surroundings import ALICE
from .stage import Stage, assert_same, tell_both

# A desktop's notification service (org.freedesktop.Notifications), which prints what it is asked to show.
DESKTOP = """
import dbus, dbus.service, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
class Desktop(dbus.service.Object):
    shown = 0
    @dbus.service.method("org.freedesktop.Notifications", in_signature="susssasa{sv}i", out_signature="u")
    def Notify(self, application, replaces, icon, title, text, actions, hints, timeout):
        self.shown += 1
        print(title, "-", text, flush=True)
        return self.shown
    @dbus.service.method("org.freedesktop.Notifications", in_signature="u")
    def CloseNotification(self, number):
        pass
bus = dbus.SessionBus()
name = dbus.service.BusName("org.freedesktop.Notifications", bus)
desktop = Desktop(bus, "/org/freedesktop/Notifications")
print("ready", flush=True)
GLib.MainLoop().run()
"""


@contextmanager
def _watched_desktop(stage: Stage) -> Iterator[tuple[Process, Process]]:
    """A desktop of alice's, and the session watcher on it."""
    address = "unix:path=/tmp/desktop"
    environment = {**stage.lab.bus.environment(), "DBUS_SESSION_BUS_ADDRESS": address, "PYTHONUNBUFFERED": "1"}

    def start(name: str, *argv: str, **more: str) -> Process:
        made = stage.lab.foreign.start(name, argv, "alice", {**environment, **more})
        parts.callback(made.stop)
        return made

    with ExitStack() as parts:
        bus = start("desktop's bus", "dbus-daemon", "--session", f"--address={address}", "--nofork", "--print-address")
        bus.wait_line("^unix:")
        desktop = start("desktop", "python3", "-c", DESKTOP)
        desktop.wait_line("^ready$")
        yield desktop, start("watcher", "openvpn3-desktop-session-watcher", OPENVPN3_DEBUG="yes")


@pytest.mark.parametrize("release", [V27], indirect=True, ids=["v27"])  # the older one has none
def test_the_session_watcher_notifies(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server()
        stage.openvpn3("config-import", "--config", stage.profile(), "--name", "work")
        stage.openvpn3("session-start", "--config", "work", "--timeout", "20")
        with _watched_desktop(stage) as (desktop, watcher):
            watcher.wait_line("Starting SessionWatcher")
            desktop.wait_line("Authentication Successful")
            stage.openvpn3("session-manage", "--config", "work", "--restart", "--timeout", "20")
            desktop.wait_line("session reconnected")
            stage.openvpn3("session-manage", "--config", "work", "--disconnect")
            desktop.wait_line("session disconnected")
            watcher.wait_line("SESS_DESTROYED")
            # How often it says that it reconnects is between it and the engine.
            stage.note("desktop", "\n".join(dict.fromkeys(desktop.lines)))

    assert_same(*tell_both(release, story, pki))


def test_profiles_loaded_and_started_at_boot(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server(more=["script-security 3", "auth-user-pass-verify /bin/true via-env"])
        profile = stage.lab.file("boot.ovpn", stage.lab.profile(more=["auth-user-pass"]), user="root")
        settings = {
            "autostart": True,
            "name": "boot",
            "acl": {"set-owner": ALICE.uid},
            "user-auth": {"username": "alice", "password": "good password"},
            "tunnel": {"persist": True},
            "remote": {"proto-override": "udp"},
        }
        profile.with_suffix(".autoload").write_text(json.dumps(settings))
        stage.run("root", "openvpn3-autoload", "--directory", str(profile.parent))
        stage.openvpn3("configs-list", "--count")
        stage.openvpn3("session-manage", "--config", "boot", "--disconnect")

    ours, original = tell_both(release, story, pki)
    # Better: the session becomes alice's as the administrator wants it; the original lacks the call, and everything
    # stays root's.
    assert ours[0].status == 0
    assert "Auto-started" in ours[0].text
    assert original[0].status == 2
    assert "TransferOwnership" in original[0].text
    assert ours[1].text and original[1].text
    assert ours[2].status == 0
    assert original[2].status != 0


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_a_proxy_that_asks(release: Release, pki: Pki, scheme: str) -> None:
    def story(stage: Stage) -> None:
        stage.lab.proxy(scheme, alice="open: sesame")
        stage.lab.server(protocol="tcp")
        profile = stage.profile(protocol="tcp", more=[f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} auto"])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("HTTP proxy username: ", "alice")
            terminal.answer("HTTP proxy password: ", "open: sesame")
        stage.openvpn3("sessions-list")

    assert_same(*tell_both(release, story, pki))
