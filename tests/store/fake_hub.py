"""A hub of models on this machine, which can be told to misbehave.

Two servers: the hub, with its API and its resolve addresses, and a "CDN" on another port, to which
resolve redirects large files. Which fault an answer has is asked of `faults`, a function of
(where, path, count): where is revision, tree, resolve or cdn; count says how many requests of that
kind and path there were before. It returns the name of a fault below, or None.
"""
import hashlib
import http.server
import json
import threading
import time
import urllib.parse

FILE_FAULTS = ["stall", "drip", "truncate", "reset", "wrong_bytes", "too_many", "429", "429_after", "429_date",
               "500", "503", "404_once", "416", "ignore_range", "new_etag", "wrong_range", "short_length",
               "long_length", "empty"]
HUB_FAULTS = ["429", "429_after", "500", "503", "reset", "truncate", "garbage", "stall", "loop", "elsewhere"]


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients leave in the middle of answers: that is what is tested


class FakeHub:
    def __init__(self, faults=None, token=None, page=1000, stall_s=3.0):
        self.repos, self.faults, self.token, self.page, self.stall_s = {}, faults, token, page, stall_s
        self.requests, self.tokens_at_cdn, self.counts = [], 0, {}
        self.licence, self.hostile, self.lock = "apache-2.0", None, threading.Lock()
        self.servers = [Server(("127.0.0.1", 0), self.handler(where)) for where in ("hub", "cdn")]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.endpoint, self.cdn = (f"http://127.0.0.1:{s.server_address[1]}" for s in self.servers)

    def add(self, repo, path, data, lfs=True):
        self.repos.setdefault(repo, {})[path] = (data, lfs)

    def commit(self, repo):
        listing = json.dumps({path: git_sha1(data) for path, (data, _) in sorted(self.repos[repo].items())})
        return hashlib.sha1(listing.encode()).hexdigest()

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def fault(self, where, path):
        with self.lock:
            count = self.counts.get((where, path), 0)
            self.counts[where, path] = count + 1
        return self.faults(where, path, count) if self.faults else None

    def tree(self, repo, start):
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"}]
        for path, (data, lfs) in sorted(self.repos[repo].items()):
            entry = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": path}
            if lfs:
                entry["oid"] = "1" * 40
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            entries.append(entry)
        if self.hostile:
            entries.append(self.hostile)
        return entries[start:start + self.page], start + self.page < len(entries)

    def handler(hub, where):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                with hub.lock:
                    hub.requests.append((where, self.path, dict(self.headers)))
                path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                if where == "cdn":
                    hub.tokens_at_cdn += "Authorization" in self.headers
                    return self.send_file(path.split("/", 2)[2], "cdn")
                if hub.token and self.headers.get("Authorization") != "Bearer " + hub.token:
                    return self.reply(401, b"", {"X-Error-Message": "Invalid username or password."})
                parts = path.strip("/").split("/")
                if parts[:2] == ["api", "models"] and len(parts) > 4:
                    return self.send_api("/".join(parts[2:4]), parts[4], query)
                if parts[0] == "again":
                    return self.reply(302, b"", {"Location": "/again"})
                if len(parts) > 4 and parts[2] == "resolve":
                    return self.send_resolve("/".join(parts[:2]), "/".join(parts[4:]))
                return self.reply(404, b"")

            def reply(self, status, body, headers=None, length=None):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def common_fault(self, fault, body):
                """True: answered."""
                if fault in ("429", "429_after", "429_date"):
                    after = {"429_after": "0", "429_date": self.date_time_string(time.time() - 5)}.get(fault)
                    self.reply(429, b"slow down", {"Retry-After": after} if after else {})
                elif fault in ("500", "503"):
                    self.reply(int(fault), b"<html>oops</html>")
                elif fault == "404_once":
                    self.reply(404, b"")
                elif fault == "reset":
                    self.close_connection = True
                elif fault == "truncate":
                    self.reply(200, body[:len(body) // 2], length=len(body))
                    self.close_connection = True
                elif fault == "stall":
                    self.reply(200, body[:len(body) // 3], length=len(body))
                    self.wfile.flush()
                    time.sleep(hub.stall_s)
                    self.close_connection = True
                else:
                    return False
                return True

            def send_api(self, repo, kind, query):
                if repo not in hub.repos:
                    return self.reply(404, b"{}", {"X-Error-Message": "Repository not found"})
                headers = {"Content-Type": "application/json"}
                if kind == "revision":
                    body = json.dumps({"sha": hub.commit(repo), "cardData": {"license": hub.licence},
                                       "tags": ["gguf"]}).encode()
                else:
                    start = int(query.get("cursor", ["0"])[0])
                    entries, more = hub.tree(repo, start)
                    body = json.dumps(entries).encode()
                    if more:
                        next_path = f"/api/models/{repo}/tree/x?recursive=true&cursor={start + hub.page}"
                        headers["Link"] = f'<{hub.endpoint}{next_path}>; rel="next"'
                fault = hub.fault(kind, repo)
                if fault == "garbage":
                    body = b'[{"type":"file","path":' + b"[" * 100
                if fault == "loop":
                    return self.reply(302, b"", {"Location": "/again"})
                if self.common_fault(fault, body):
                    return None
                return self.reply(200, body, headers)

            def send_resolve(self, repo, path):
                if path not in hub.repos.get(repo, {}):
                    return self.reply(404, b"")
                fault = hub.fault("resolve", path)
                if fault == "loop":
                    return self.reply(302, b"", {"Location": "/again"})
                if fault == "elsewhere":
                    return self.reply(302, b"", {"Location": "ftp://127.0.0.1/x"})
                data, lfs = hub.repos[repo][path]
                if self.common_fault(fault, data):
                    return None
                if not lfs:
                    return self.send_file(repo + "/" + path, "resolve")
                headers = {"X-Linked-Size": str(len(data)),
                           "X-Linked-Etag": '"' + hashlib.sha256(data).hexdigest() + '"',
                           "Location": f"{hub.cdn}/cdn/{repo}/" + urllib.parse.quote(path)}
                return self.reply(302, b"Found. Redirecting", headers)

            def send_file(self, name, where):
                repo, path = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
                data = hub.repos[repo][path][0]
                fault = hub.fault(where, path) if where == "cdn" else None
                etag = '"%s"' % hashlib.md5(data).hexdigest()
                if fault == "new_etag":
                    etag = '"%d"' % time.monotonic_ns()
                wanted = self.headers.get("Range")
                start = int(wanted[6:].rstrip("-")) if wanted and fault != "ignore_range" else 0
                if self.headers.get("If-Range", etag) != etag:
                    start = 0
                if fault == "416" or (wanted and start >= len(data) > 0):
                    return self.reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                body = data[start:]
                if fault == "wrong_bytes" and body:
                    body = bytes([body[0] ^ 1]) + body[1:]
                headers, status = {"ETag": etag, "Accept-Ranges": "bytes"}, 200
                if start:
                    shift = 1 if fault == "wrong_range" else 0
                    status = 206
                    headers["Content-Range"] = f"bytes {start + shift}-{len(data) - 1}/{len(data)}"
                if fault == "short_length":
                    return self.reply(status, body[:len(body) // 2], headers)
                if fault == "long_length":
                    self.reply(status, body, headers, length=len(body) + 10)
                    self.close_connection = True
                    return None
                if fault == "empty":
                    return self.reply(200, b"")
                if fault == "too_many":
                    self.send_response(status)
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(body + b"more than there is")
                    self.close_connection = True
                    return None
                if fault in ("truncate", "stall"):
                    self.reply(status, body[:len(body) // 2], headers, length=len(body))
                    self.wfile.flush()
                    if fault == "stall":
                        time.sleep(hub.stall_s)
                    self.close_connection = True
                    return None
                if fault == "drip":
                    self.reply(status, b"", headers, length=len(body))
                    end = time.monotonic() + hub.stall_s
                    for byte in body:
                        if time.monotonic() > end:
                            break
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(0.02)
                    self.close_connection = True
                    return None
                if self.common_fault(fault, body):
                    return None
                return self.reply(status, body, headers)
        return Handler
