"""The calls of a run, recorded and made again by others: by one boto3 process, and by the AWS CLI, a process a call.

    peers.py record PORT TARGET TRACE     a proxy on 127.0.0.1:PORT before TARGET; writes TRACE when it is interrupted
    peers.py replay TRACE TARGET boto3|cli [AWS]
    peers.py timed COMMAND...             runs a command; its output goes to standard error

A replay prints one JSON line: how many calls, how many seconds, how many of them of this process's CPU, how many failed.
Ids that the service makes up are other ones each time: what a reply says where the recorded one said something else
takes its place in what follows. Of a command it says how many seconds of CPU it took, and its exit code.
"""

import datetime
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

import botocore.model
import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.parsers import create_parser
from moto.core.model import ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from werkzeug.datastructures import Headers, MultiDict

# In credential scopes some services have another name than in the SDK.
NAMES = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
}


def record(port, target, path):
    """Passes everything on, and keeps it."""
    trace = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self):
            try:
                super().handle_one_request()
            except (ConnectionError, BrokenPipeError):
                self.close_connection = True

        def pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "connection")}
            request = urllib.request.Request(target + self.path, body or None, headers, method=self.command)
            try:
                reply = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                reply = error
            data = reply.read()
            trace.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "headers": {k.lower(): v for k, v in headers.items()},
                    "body": body.decode("latin-1"),
                    "status": reply.status,
                    "reply_headers": {k.lower(): v for k, v in reply.headers.items()},
                    "reply": data.decode("latin-1"),
                }
            )
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", reply.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = pass_on

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        with open(path, "w") as out:
            json.dump(trace, out)


class Calls:
    """Turns requests into calls of an SDK."""

    def __init__(self, target):
        self.session = botocore.session.get_session()
        self.target = target
        self.clients = {}
        self.models = {}

    def client(self, service):
        if service not in self.clients:
            config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False)
            self.clients[service] = self.session.create_client(
                service,
                region_name="us-east-1",
                endpoint_url=self.target,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=config,
            )
        return self.clients[service]

    def model(self, service):
        if service not in self.models:
            loader = self.session.get_component("data_loader")
            self.models[service] = ServiceModel(loader.load_service_model(service, "service-2"), service)
        return self.models[service]

    def read(self, request):
        """Service, operation and parameters; none when it is no call to a service."""
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", request["headers"].get("authorization", ""))
        if not scope:
            return None
        service = NAMES.get(scope[1], scope[1])
        model = self.model(service)
        uri = urlsplit(request["path"])
        target = request["headers"].get("x-amz-target")
        values = parse_qsl(request["body"], keep_blank_values=True)
        protocol = "json" if target else model.metadata["protocol"]
        if target:
            name, path = target.rsplit(".", 1)[1], {}
        elif protocol in ("query", "ec2"):
            name, path = dict(values)["Action"], {}
        else:
            name, path = self.route(model, request["method"], uri)
        operation = model.operation_model(name)
        values = MultiDict(values if protocol in ("query", "ec2") else parse_qsl(uri.query, keep_blank_values=True))
        parsed = PROTOCOL_PARSERS[protocol](operation).parse(
            {
                "body": request["body"].encode("latin-1"),
                "headers": Headers(request["headers"]),
                "method": request["method"],
                "url_params": path,
                "url_path": uri.path,
                "values": values,
            }
        )
        return service, name, parsed

    @staticmethod
    def route(model, method, uri):
        """Of a REST service: the operation whose template fits, the most literal one first."""
        query = dict(parse_qsl(uri.query, keep_blank_values=True))
        best = None
        for name in model.operation_names:
            http = model.operation_model(name).http
            template = urlsplit(http["requestUri"])
            wanted = dict(parse_qsl(template.query, keep_blank_values=True))
            if http["method"] != method or any(query.get(k, None) is None for k in wanted):
                continue
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", template.path))
            found = re.fullmatch(pattern.rstrip("/") + "/?", uri.path)
            if found:
                literal = (len(wanted), len(re.sub(r"\{\w+\+?\}", "", template.path)), -template.path.count("+"))
                if best is None or literal > best[0]:
                    best = (literal, name, {k: unquote(v) for k, v in found.groupdict().items()})
        if best is None:
            raise ValueError(f"no operation for {method} {uri.path}?{uri.query}")
        return best[1], best[2]

    def replied(self, service, operation, request):
        """What the recorded reply says, as an SDK reads it."""
        model = self.model(service)
        parser = create_parser(model.metadata["protocol"] if not request["headers"].get("x-amz-target") else "json")
        reply = {"body": request["reply"].encode("latin-1"), "headers": request["reply_headers"], "status_code": request["status"]}
        shape = botocore_model(self.session, service).operation_model(operation).output_shape
        if shape is None or request["status"] >= 300:
            return {}
        if any(getattr(m, "serialization", {}).get("streaming") for m in shape.members.values()):
            return {}
        return parser.parse(reply, shape)


def botocore_model(session, service):
    loader = session.get_component("data_loader")
    return botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)


def learn(then, now, names):
    """Where a reply says something else than the recorded one, that is what it is called now."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in then.keys() & now.keys():
            learn(then[key], now[key], names)
    elif isinstance(then, list) and isinstance(now, list):
        for a, b in zip(then, now):
            learn(a, b, names)
    elif isinstance(then, str) and isinstance(now, str) and then != now and len(then) > 6 and then not in names:
        names[then] = now


def renamed(value, names):
    if isinstance(value, dict):
        return {key: renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    if isinstance(value, str):
        if value in names:
            return names[value]
        # Within a longer text, an ARN or a policy: the longest first.
        for then in sorted((n for n in names if n in value), key=len, reverse=True):
            value = value.replace(then, names[then])
    return value


def plain(value):
    """For JSON on a command line."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value


def replay(trace, target, how, aws):
    calls = Calls(target)
    script = []
    for request in json.load(open(trace)):
        read = calls.read(request)
        if read is None:
            continue
        service, operation, params = read
        script.append((service, operation, params, calls.replied(service, operation, request), request["status"]))
    # Clients are made once, and are part of what a program takes.
    calls.clients.clear()
    names, failed, begin, cpu = {}, 0, time.monotonic(), time.process_time()
    for service, operation, params, then, status in script:
        params = renamed(params, names)
        if how == "boto3":
            try:
                now = getattr(calls.client(service), xform_name(operation))(**params)
            except Exception as error:
                now = {}
                if status < 300:
                    failed += 1
                    print(f"{service} {operation}: {error}", file=sys.stderr)
        else:
            command = [aws, "--endpoint-url", target, "--region", "us-east-1", "--output", "json"]
            command += [CLI.get(service, service)]
            command += [xform_name(operation, "-"), "--cli-input-json", json.dumps(plain(params))]
            done = subprocess.run(command, capture_output=True, text=True, env=CREDENTIALS)
            now = json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else {}
            if done.returncode and status < 300:
                failed += 1
                print(f"{service} {operation}: {done.stderr.strip()[:300]}", file=sys.stderr)
        learn(then, now, names)
    seconds, cpu = time.monotonic() - begin, time.process_time() - cpu
    print(json.dumps({"calls": len(script), "seconds": seconds, "cpu": cpu, "failed": failed}))


def timed(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "code": done.returncode}))


# What the CLI calls a service, where it is not what the SDK calls it.
CLI = {"s3": "s3api"}
CREDENTIALS = os.environ | {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    elif sys.argv[1] == "timed":
        timed(sys.argv[2:])
    else:
        replay(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5] if len(sys.argv) > 5 else "aws")
