"""A server that talks: what it is sent, what is read of it, and what happens when it fails."""

import base64
import http.server
import io
import json
import threading

import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.fetch.chat import Server

QUICK = (0.0, 0.0)


class Loopback(http.server.ThreadingHTTPServer):
    """Answers with what it is told, in turn: a text, a status, or bytes; remembers what came."""

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.came = list(answers), []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, dict(self.headers), json.loads(body)))
        answer = self.server.answers.pop(0)
        if isinstance(answer, str):
            answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
        status, text = (answer, b"no") if isinstance(answer, int) else (200, answer)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    started = []

    def start(*answers):
        started.append(Loopback(answers))
        return started[-1]

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


def test_words_and_pictures_arrive_in_their_order(serve, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    server, picture = serve("[EXPLANATION]: cars"), Image.new("RGB", (3, 2), (10, 20, 30))
    assert Server(server.url, "big", "SOME_KEY").say("be careful", ["look", picture], 7) == "[EXPLANATION]: cars"
    [(path, headers, body)] = server.came
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("big", 0, 7)
    system, user = body["messages"]
    assert system == {"role": "system", "content": "be careful"}
    assert user["content"][0] == {"type": "text", "text": "look"}
    sent = user["content"][1]["image_url"]["url"].removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(sent))) as found:
        assert (found.size, found.getpixel((1, 1))) == ((3, 2), (10, 20, 30))


def test_trouble_that_passes_is_waited_for(serve):
    server = serve(503, 429, "at last")
    assert Server(server.url, "m", waits=QUICK).say("", ["?"]) == "at last"
    assert len(server.came) == 3
    assert [turn["role"] for turn in server.came[0][2]["messages"]] == ["user"]
    assert "max_tokens" not in server.came[0][2]


def test_trouble_that_stays_is_told(serve):
    server = serve(503, 503, 503, "too late")
    with pytest.raises(VlmscopeError, match="failed 3 times in a row"):
        Server(server.url, "m", waits=QUICK).say("", ["?"])


def test_a_server_that_is_not_there_is_told(serve):
    server = serve()
    server.shutdown()
    server.server_close()
    with pytest.raises(VlmscopeError, match="failed 3 times"):
        Server(server.url, "m", waits=QUICK).say("", ["?"])


@pytest.mark.parametrize(
    ("answer", "told"),
    [(401, "refuses: 401"), (b"<html>", "not that of a chat"), (b'{"choices": []}', "not that of a chat")],
)
def test_what_another_try_would_not_cure_is_told_at_once(serve, answer, told):
    server = serve(answer, "never asked")
    with pytest.raises(VlmscopeError, match=told):
        Server(server.url, "m", waits=QUICK).say("", ["?"])
    assert len(server.came) == 1


def test_an_answer_without_words_is_told(serve):
    server = serve(json.dumps({"choices": [{"message": {"content": None}}]}).encode())
    with pytest.raises(VlmscopeError, match="no text"):
        Server(server.url, "m", waits=QUICK).say("", ["?"])


def test_a_wrong_address_and_a_missing_key_are_told(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(VlmscopeError, match="no web address"):
        Server("localhost:8000", "m")
    with pytest.raises(VlmscopeError, match="NO_SUCH_KEY"):
        Server("http://localhost:8000/v1", "m", "NO_SUCH_KEY")
