import http.server
import json
import threading
import urllib.parse

import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.fetch import corenlp

ANSWER = {
    "sentences": [
        {"tokens": [{"word": "Ein", "pos": "DT"}, {"word": "Hündchen", "pos": "NN"}]},
        {"tokens": [{"word": "no", "pos": "UH"}]},
    ]
}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        self.server.asked.append((text, json.loads(asked["properties"][0])))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)


@pytest.fixture
def tagging(monkeypatch):
    """A server that answers as CoreNLP does."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.status, server.body = [], 200, json.dumps(ANSWER).encode()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server):
    return f"http://127.0.0.1:{server.server_port}/"


def test_sentences_come_with_words_and_tags(tagging):
    found = corenlp.tagged(address(tagging), "Ein Hündchen. no")
    assert found == [[("Ein", "DT"), ("Hündchen", "NN")], [("no", "UH")]]
    ((text, asked),) = tagging.asked
    assert text == "Ein Hündchen. no"
    assert asked == {"annotators": "tokenize,ssplit,pos", "outputFormat": "json"}


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"sentences": [{}]}'])
def test_another_answer_is_refused(tagging, body):
    tagging.body = body
    with pytest.raises(VlmscopeError, match="answers in another way"):
        corenlp.tagged(address(tagging), "a")


def test_a_server_in_trouble_is_named(tagging):
    tagging.status = 500
    with pytest.raises(VlmscopeError, match="does not answer") as caught:
        corenlp.tagged(address(tagging), "a")
    assert address(tagging) in caught.value.where and "backend: lexicon" in caught.value.instead


def test_a_server_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("http_proxy", raising=False)
    with pytest.raises(VlmscopeError, match="does not answer"):
        corenlp.tagged("http://127.0.0.1:9", "a")


def test_only_web_addresses_are_asked():
    with pytest.raises(VlmscopeError, match="no web address"):
        corenlp.tagged("file:///etc/passwd", "a")
