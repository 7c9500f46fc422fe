"""Parts of speech from a CoreNLP server, which the user starts."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

from vlmscope.errors import VlmscopeError

# Seconds that a server may take; the first text makes it load its models.
PATIENCE = 120


def tagged(server: str, text: str) -> list[list[tuple[str, str]]]:
    """Sentences of a text, each of words with their tags (Penn Treebank)."""
    if not server.startswith(("http://", "https://")):
        raise VlmscopeError(f"This is no web address: {server}", where="mm_neurons.nouns.server", instead="http://...")
    asked = {"annotators": "tokenize,ssplit,pos", "outputFormat": "json"}
    url = f"{server.rstrip('/')}/?{urllib.parse.urlencode({'properties': json.dumps(asked)})}"
    request = urllib.request.Request(url, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            parts = json.load(answer)["sentences"]
        return [[(word["word"], word["pos"]) for word in part["tokens"]] for part in parts]
    except urllib.error.HTTPError as error:
        with error:
            raise _trouble(server, f"does not answer: {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _trouble(server, f"does not answer: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _trouble(server, f"answers in another way: {type(error).__name__} {error}") from error


def _trouble(server: str, problem: str) -> VlmscopeError:
    return VlmscopeError(
        f"The CoreNLP server {problem}",
        where=f"mm_neurons.nouns.server: {server}",
        instead="start it (java edu.stanford.nlp.pipeline.StanfordCoreNLPServer -port 9000), or backend: lexicon",
    )
