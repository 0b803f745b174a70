"""A lull server of one's own, for scripts that look at it from outside."""
import json
import subprocess
import urllib.request


class LullServer:
    """lull serve MODEL --port 0 [arguments]. Use as a context manager."""

    def __init__(self, lull, model, *arguments):
        self._process = subprocess.Popen([lull, "serve", model, "--port", "0", "--json", *arguments],
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"lull serve {model} ended at once")
        self.port = json.loads(line)["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def post(self, path, body, key=None):
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = "Bearer " + key
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)
