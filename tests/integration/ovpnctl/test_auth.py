"""ovpnctl asks its user for what a session wants: at a terminal, from standard input, from a file, in a browser."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ....ctl.exits import CommandExit
from ...lab import service
from ...lab.auth_server import Accept, Deny, Login, Pending, Verdict, dynamic_challenge, knows
from ...lab.connection import SESSIONS_PATH
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...support.authentication import OPEN_URL, REQUIRE_USER, answer, connect
from ...support.sessions import CONNECTED, begin
from ...support.terminal import Terminal

ASKS = ("auth-user-pass",)
CONNECTED_TO = f"Connected to {SERVER_ADDRESS}"
URL = "https://idp.example/login?x=1"


def terminal(lab: Lab, *arguments: str, user: str = "alice") -> Terminal:
    """Run ovpnctl at a terminal."""
    command = lab.client_side.command([service.OVPNCTL, *arguments], user)
    return Terminal(command, {**lab.bus.environment(), "TERM": "xterm"})


def piped(lab: Lab, stdin: str, *arguments: str) -> tuple[int, str, str]:
    """Run ovpnctl with this standard input; its status, output and errors."""
    done = lab.as_user("alice", [service.OVPNCTL, *arguments], stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def start(lab: Lab, more: Sequence[str] = ASKS) -> tuple[str, ...]:
    """The command line that starts a session of a profile with `more` options."""
    return ("session-start", "--timeout", "15", "--config", str(lab.file("work.ovpn", lab.profile(more=more))))


def sessions(lab: Lab) -> list[str]:
    paths: list[str] = lab.connection("alice").session(SESSIONS_PATH, "FetchAvailableSessions")
    return paths


def code(login: Login) -> Verdict:
    """The right password is answered with a challenge, the right code with a yes."""
    if login.password == "open sesame":
        return dynamic_challenge("s", "alice", "Enter the code?", "R")
    return Accept() if login.password == "CRV1::s::123456" else Deny()


def test_asked_at_the_terminal(lab: Lab) -> None:
    lab.auth_server(code)
    lab.supervisor()
    with terminal(lab, *start(lab)) as shown:
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "open sesame")
        shown.answer(r"Enter the code\?: ", "123456")
        shown.wait(CONNECTED_TO)
        assert shown.finish() == 0
    assert "alice" in shown.text and "open sesame" not in shown.text and "123456" not in shown.text


def test_the_wrong_answer(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    with terminal(lab, *start(lab)) as shown:
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "wrong")
        shown.wait("Error: Client authentication failed")
        assert shown.finish() == CommandExit.AUTHENTICATION_FAILED
    assert sessions(lab) == []


def test_an_answer_that_is_refused_is_asked_again(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    with terminal(lab, *start(lab)) as shown:
        shown.answer("Auth User name: ", "")
        shown.wait("an answer is needed: Auth User name")
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "x" * 300)
        shown.wait("255 bytes")
        shown.answer("Auth Password: ", "open sesame")
        assert shown.finish() == 0


def test_ctrl_c_and_end_of_input_at_the_question(lab: Lab) -> None:
    lab.supervisor()
    for stroke, status in (("interrupt", CommandExit.INTERRUPTED), ("end", CommandExit.AUTHENTICATION_FAILED)):
        with terminal(lab, *start(lab)) as shown:
            shown.answer("Auth User name: ", "alice")
            shown.wait("Auth Password: ")
            if stroke == "interrupt":
                shown.interrupt()
            else:
                shown.type("\x04")
            assert shown.finish() == status
            assert shown.echoes, "the terminal was left without echo"
        assert sessions(lab) == []


@pytest.mark.parametrize("more", [ASKS, ()])
def test_a_terminal_that_is_closed(lab: Lab, more: Sequence[str]) -> None:
    """At a question, and beside the spinner."""
    lab.supervisor()
    with terminal(lab, *start(lab, more)) as shown:
        if more:
            shown.answer("Auth User name: ", "alice")
        shown.wait("Auth Password: " if more else "Client connecting")
        # At a question, the end of the input may be seen first.
        assert shown.hang_up() in (
            {CommandExit.HUNG_UP, CommandExit.AUTHENTICATION_FAILED} if more else {CommandExit.HUNG_UP}
        )
    assert sessions(lab) == []


def test_a_session_that_ends_while_its_user_thinks(lab: Lab) -> None:
    lab.supervisor()
    with terminal(lab, *start(lab)) as shown:
        shown.wait("Auth User name: ")
        [path] = sessions(lab)
        lab.connection("alice").session(path, "Disconnect")
        assert shown.finish() == CommandExit.CONNECTION_FAILED
        assert shown.echoes


def test_typing_does_not_count_as_waiting(lab: Lab) -> None:
    lab.auth_server(code)
    lab.supervisor()
    file = str(lab.file("work.ovpn", lab.profile(more=ASKS)))
    with terminal(lab, "session-start", "--timeout", "3", "--config", file) as shown:
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "open sesame")
        shown.wait(r"Enter the code\?: ")
        with pytest.raises(Exception, match="nothing more came"):
            shown.wait("Error", deadline=3.5)
        shown.type("123456\n")
        assert shown.finish() == 0


def test_answers_from_standard_input(lab: Lab) -> None:
    lab.auth_server(code)
    lab.supervisor()
    status, output, errors = piped(lab, "alice\nopen sesame\n123456", *start(lab))
    assert (status, output.splitlines()[1][:12]) == (0, "Connected to")
    assert "sesame" not in errors and "123456" not in output + errors


def test_too_few_answers_on_standard_input(lab: Lab) -> None:
    lab.supervisor()
    status, output, errors = piped(lab, "alice\n", *start(lab))
    assert (status, output) == (CommandExit.AUTHENTICATION_FAILED, "")
    assert "Error: the session asks: Auth Password\n" in errors and "--credentials-file" in errors
    assert sessions(lab) == []


def test_standard_input_that_is_a_file(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    answers = lab.file("answers", "alice\nopen sesame\n")
    shell = 'exec "$@" < "$0"'
    done = lab.as_user("alice", ["sh", "-c", shell, str(answers), service.OVPNCTL, *start(lab)])
    assert done.returncode == 0, done


def test_credentials_from_a_file(lab: Lab) -> None:
    lab.auth_server(code)
    lab.supervisor()
    file = lab.file("credentials", "alice\nopen sesame\nmore\n")
    status, _, errors = piped(lab, "123456\n", *start(lab), "--credentials-file", str(file))
    assert status == 0 and "Warning" not in errors
    file.chmod(0o644)
    status, _, errors = piped(lab, "wrong\n", *start(lab), "--credentials-file", str(file))
    assert status == CommandExit.AUTHENTICATION_FAILED and f"Warning: other users may read {file}" in errors


@pytest.mark.parametrize(("content", "words"), [("alice\n", "needs a user name and"), (None, "cannot be read")])
def test_files_without_credentials(lab: Lab, content: str | None, words: str) -> None:
    lab.supervisor()
    file = lab.file("credentials", content or "")
    if content is None:
        file.unlink()
    status, _, errors = piped(lab, "", *start(lab), "--credentials-file", str(file))
    assert status == CommandExit.REFUSED and words in errors
    assert sessions(lab) == []


def test_a_web_page_to_log_in_at(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Pending(f"WEB_AUTH::{URL}"))
    lab.supervisor()
    with terminal(lab, *start(lab)) as shown:
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "x")
        shown.wait(f"Web authentication required to connect: {URL.replace('?', '.')}")
        server.decide(server.logins[-1], Accept())
        shown.wait(CONNECTED_TO)
        assert shown.finish() == 0


def test_a_text_while_connecting(lab: Lab) -> None:
    def judge(login: Login) -> Verdict:
        if login.response is None:
            return Pending("CR_TEXT:R,E:Color?")
        return Accept() if login.response == "blue" else Deny()

    lab.auth_server(judge)
    lab.supervisor()
    with terminal(lab, *start(lab)) as shown:
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "x")
        shown.answer(r"Color\?: ", "blue")
        shown.wait(CONNECTED_TO)
        assert shown.finish() == 0


def test_asked_again_by_restart_and_resume(lab: Lab) -> None:
    lab.auth_server(code)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, username="alice", password="open sesame")
    connect(session, dynamic_challenge="123456")
    manage = ("session-manage", "--path", session.path, "--timeout", "15")
    with terminal(lab, *manage, "--restart") as shown:
        shown.answer(r"Enter the code\?: ", "123456")
        shown.wait("Session connected")
        assert shown.finish() == 0
    assert piped(lab, "", *manage, "--pause")[0] == 0
    status, output, _ = piped(lab, "123456\n", *manage, "--resume")
    assert (status, output) == (0, "Session connected\n")


def test_asked_by_resume_of_a_session_that_was_never_connected(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    manage = ("session-manage", "--path", session.path)
    assert piped(lab, "", *manage, "--pause", "--timeout", "15")[0] == 0
    status, _, errors = piped(lab, "", *manage, "--resume")
    assert status == CommandExit.AUTHENTICATION_FAILED and "Error: the session asks: Auth User name\n" in errors
    assert piped(lab, "", *manage, "--pause")[0] == 0
    with terminal(lab, *manage, "--resume", "--timeout", "15") as shown:
        shown.answer("Auth User name: ", "alice")
        shown.answer("Auth Password: ", "open sesame")
        shown.wait("Session connected")
        assert shown.finish() == 0
    assert session.get("status") == [2, CONNECTED, ""]


def test_standard_input_that_cannot_be_read(lab: Lab) -> None:
    lab.supervisor()
    done = lab.as_user("alice", ["sh", "-c", 'exec "$@" 0>/dev/null', "sh", service.OVPNCTL, *start(lab)])
    assert done.returncode == CommandExit.REFUSED
    assert "Error: standard input cannot be read: Bad file descriptor\n" in done.stderr
    assert sessions(lab) == []


def test_text_with_a_nul_byte(lab: Lab) -> None:
    lab.supervisor()
    status, _, errors = piped(lab, "ali\0ce\n", *start(lab))
    assert status == CommandExit.REFUSED and "Error: the input is not text: it contains a NUL byte\n" in errors
    assert sessions(lab) == []


def test_session_auth(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Pending(f"OPEN_URL:{URL}") if login.username == "web" else Accept())
    lab.supervisor()
    assert piped(lab, "", "session-auth")[:2] == (0, "No sessions require authentication interaction\n")
    text = begin(lab, "text", more=ASKS)
    web = begin(lab, "web", connection=text.user, more=ASKS)
    connect(web, OPEN_URL, username="web", password="x")
    listed = json.loads(piped(lab, "", "session-auth", "--json")[1])
    assert {path: one["url"] for path, one in listed.items()} == {text.path: None, web.path: URL}
    request = str(listed[text.path]["auth_request"])
    shown = piped(lab, "", "session-auth")[1]
    assert f"Auth Request: {request}\n" in shown and f"    Auth URL: {URL}\n" in shown
    assert "Status: Connection, Configuration requires user input" in shown

    status, output, _ = piped(lab, "alice\nx\n", "session-auth", "--auth-req", request)
    assert status == 0 and output.startswith(CONNECTED_TO)
    assert text.get("status") == [2, CONNECTED, ""]
    status, _, errors = piped(lab, "", "session-auth", "--auth-req", request)
    assert status == CommandExit.REFUSED and f"no session waits with request {request} for authentication" in errors

    waiting = [service.OVPNCTL, "session-auth", "--auth-req", str(listed[web.path]["auth_request"]), "--timeout", "15"]
    process = lab.start_as_user("alice", waiting)
    process.wait_line(f"Web authentication required to connect: {URL.replace('?', '.')}")
    server.decide(next(login for login in server.logins if login.username == "web"), Accept())
    process.wait_line(CONNECTED_TO)
    assert process.wait() == 0


def test_session_auth_leaves_the_session_when_it_gets_no_answer(lab: Lab) -> None:
    lab.supervisor()
    session = begin(lab, more=ASKS)
    request = str(session.get("backend_pid"))
    assert piped(lab, "", "session-auth", "--auth-req", request)[0] == CommandExit.AUTHENTICATION_FAILED
    answer(session, username="alice", password="x")


def test_a_profile_that_names_a_file_of_user_name_and_password(lab: Lab) -> None:
    """The file is taken, or what it should hold is asked for; given another one, it is not even looked at."""
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    command = start(lab, ("auth-user-pass login",))
    file = Path(command[-1]).parent / "login"
    file.write_text("alice\nopen sesame\n")
    assert piped(lab, "", *command, "--background")[0] == 0
    assert piped(lab, "", *command, "--background", "--ask-credentials")[0] == CommandExit.AUTHENTICATION_FAILED
    file.unlink()
    status, _, errors = piped(lab, "alice\nopen sesame\n", *command)
    assert status == 0 and "login cannot be read: No such file or directory; what it should hold is asked for" in errors
    given = str(lab.file("given", "alice\nopen sesame\n"))
    status, _, errors = piped(lab, "", *command, "--credentials-file", given)
    assert status == 0 and "cannot be read" not in errors
