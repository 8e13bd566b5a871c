"""A model server that is slow, fails and talks nonsense now and then."""

import hashlib
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer_to(question: str) -> str:
    return f"Because of {hashlib.sha256(question.encode()).hexdigest()[:12]}."


def question_of(body: dict) -> str:
    """The last text that is a question, wherever the request has it."""
    found = ""
    for message in body["messages"]:
        content = message["content"]
        parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
        for part in parts:
            for line in part.splitlines():
                if line.startswith("Why is"):
                    found = line
    return found


class ModelServer:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, chance: random.Random):
        self.asked, self.chance, self.lock = 0, chance, threading.Lock()

    def __enter__(self) -> "ModelServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with owner.lock:
                    owner.asked += 1
                    mood, pause = owner.chance.random(), owner.chance.uniform(0.0, 0.3)
                time.sleep(pause)
                if mood < 0.05:
                    self.reply(503, "application/json", b"{}")
                elif mood < 0.07:
                    self.reply(502, "text/html", b"<html>bad gateway</html>")
                else:
                    message = {"role": "assistant", "content": answer_to(question_of(body))}
                    text = json.dumps({"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]})
                    self.reply(200, "application/json", text.encode())

            def reply(self, status: int, kind: str, body: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    # The worker was killed meanwhile.
                    pass

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
