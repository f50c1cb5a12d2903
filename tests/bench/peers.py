"""Other servers that fan out events, from Debian's packages, on free ports in a directory of their own: nchan and Pushpin.

Each has what the measurements need: publish and subscribe addresses, processes, a restart. Their settings are generous:
as many workers as cores, long backlogs of connections, messages kept in plenty."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

from system import descendants, pss_bytes, run_seconds

NGINX, NCHAN = "/usr/sbin/nginx", "/usr/lib/nginx/modules/ngx_nchan_module.so"
MESSAGES_KEPT = 20000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """name; address of the readers; readers_path and load_path, to which the name of a channel is appended."""

    name, load_options = None, ()

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="signalbox-bench-peer-"))
        os.chmod(self.directory, 0o755)
        self.log = open(self.directory / "log", "wb")
        self.processes = []
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def spawn(self, *command):
        self.processes.append(subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                               stdout=self.log, stderr=self.log, cwd=self.directory))

    def end(self):
        for process in reversed(self.processes):
            for pid in [*reversed(descendants(process.pid)), process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        self.processes = []

    def stop(self):
        self.end()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def restart(self):
        """As after a kill -9 of all of it; returns when it listens again."""
        self.end()
        self.start()

    def wait_listening(self, *ports):
        until = time.monotonic() + 20
        for port in ports:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if time.monotonic() > until or self.processes[0].poll() is not None:
                    raise SystemExit(f"{self.name} does not listen; see {self.log.name}:\n"
                                     + (self.directory / "log").read_text()[-2000:])
                time.sleep(0.05)

    def crashes(self):
        """Deaths of its processes that it has written of, but for our own kills."""
        return len(re.findall(r"exited on signal (?!9\b)", (self.directory / "log").read_text(errors="replace")))

    def pids(self):
        return [pid for process in self.serving() for pid in [process.pid, *descendants(process.pid)]]

    def serving(self):
        """The processes that are measured."""
        return self.processes

    def cpu(self):
        return sum(map(run_seconds, self.pids()))

    def pss(self):
        return sum(map(pss_bytes, self.pids()))

    def make_runs(self, count):
        """A file with names for new channels."""
        handle, path = tempfile.mkstemp(dir=self.directory, suffix=".runs")
        with os.fdopen(handle, "w") as file:
            file.writelines(f"{uuid.uuid4()}\n" for _ in range(count))
        return path

    def write_nginx(self, name, connections, modules, server):
        path = self.directory / name
        path.write_text(f"""{modules}
daemon off;
worker_processes {self.workers};
pid {path}.pid;
error_log stderr error;
worker_rlimit_nofile {descriptors()};
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  client_body_temp_path {path}.body; proxy_temp_path {path}.proxy; fastcgi_temp_path {path}.fastcgi;
  uwsgi_temp_path {path}.uwsgi; scgi_temp_path {path}.scgi;
  {server}
}}
""", encoding="utf-8")
        return path


def descriptors():
    import resource
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Nchan(Peer):
    name = "nchan"
    readers_path, load_path = "/sub/", "/pub/"

    def __init__(self, workers=None, idle=20000):
        self.workers, self.connections = workers or os.cpu_count(), idle
        self.port = free_port()
        self.address = self.load_address = f"127.0.0.1:{self.port}"
        super().__init__()

    def start(self):
        config = self.write_nginx("nchan.conf", min(self.connections, descriptors() - 100), f"load_module {NCHAN};", f"""
  nchan_shared_memory_size 1024M;
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location ~ ^/pub/(.+)$ {{
      nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length {MESSAGES_KEPT}; nchan_message_timeout 1h;
    }}
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;
      nchan_subscriber_timeout 0; nchan_eventsource_ping_interval 15;
    }}
  }}""")
        self.spawn(NGINX, "-c", config, "-p", self.directory)
        self.wait_listening(self.port)


class Pushpin(Peer):
    """Pushpin asks a server behind it what to subscribe a client to: here an nginx, whose share is not counted."""

    name = "Pushpin"
    readers_path, load_path, load_options = "/stream/", "/publish/", ("--items",)
    workers = 1

    def __init__(self):
        self.port, self.publish_port, self.origin = free_port(), free_port(), free_port()
        self.address, self.load_address = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.publish_port}"
        super().__init__()

    def start(self):
        for name in ("run", "logs"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
            (self.directory / name).mkdir()
        run = self.directory / "run"
        origin = self.write_nginx("origin.conf", 4096, "", f"""
  server {{
    listen 127.0.0.1:{self.origin} backlog=4096;
    location ~ ^/stream/(.+)$ {{
      default_type text/event-stream; add_header Grip-Hold stream; add_header Grip-Channel $1;
      return 200 ":\\n\\n";
    }}
  }}""")
        (self.directory / "zurl.conf").write_text(f"""[General]
in_spec=ipc://{run}/zurl-in
in_stream_spec=ipc://{run}/zurl-in-stream
out_spec=ipc://{run}/zurl-out
in_req_spec=ipc://{run}/zurl-req
defpolicy=allow
max_open_requests=20000
in_hwm=100000
out_hwm=100000
""", encoding="utf-8")
        internal = pathlib.Path("/usr/lib/pushpin/internal.conf").read_text(encoding="utf-8")
        (self.directory / "internal.conf").write_text(internal.replace("/var/run/zurl", str(run)), encoding="utf-8")
        (self.directory / "routes").write_text(f"* 127.0.0.1:{self.origin}\n", encoding="utf-8")
        (self.directory / "pushpin.conf").write_text(f"""[global]
include={self.directory}/internal.conf
rundir={run}
ipc_prefix=pushpin-
[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{self.port}
logdir={self.directory}/logs
log_level=1
client_maxconn={descriptors() - 500}
[proxy]
routesfile={self.directory}/routes
updates_check=off
sig_key=measured
[handler]
push_in_spec=ipc://{run}/push
push_in_sub_specs=ipc://{run}/sub
push_in_http_addr=127.0.0.1
push_in_http_port={self.publish_port}
stats_spec=ipc://{run}/stats
command_spec=ipc://{run}/command
message_rate=1000000000
message_hwm=1000000000
""", encoding="utf-8")
        self.spawn(NGINX, "-c", origin, "-p", self.directory)
        self.spawn("/usr/bin/zurl", f"--config={self.directory}/zurl.conf")
        self.spawn("/usr/bin/pushpin", f"--config={self.directory}/pushpin.conf", "--loglevel=1",
                   "--merge-output")
        self.wait_listening(self.origin, self.port, self.publish_port)
        self.wait_answering()

    def wait_answering(self):
        """It listens before its parts have found one another; what comes then waits for a minute."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.settimeout(0.5)
                probe.sendall(b"GET /stream/probe HTTP/1.1\r\nHost: probe\r\n\r\n")
                if b" 200 OK" in probe.recv(100):
                    return
        raise SystemExit(f"{self.name} does not answer; see {self.log.name}")

    def serving(self):
        return self.processes[2:]


class Hub(Peer):
    """The floor: a program of ours that does nothing but hand a POST's body to every reader, from memory."""

    name = "floor"
    readers_path, load_path = "/", "/"

    def __init__(self, build):
        self.program = build / "bench/hub"
        super().__init__()

    def start(self):
        self.processes = [subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)]
        self.address = self.load_address = "127.0.0.1:" + self.processes[0].stdout.readline().split()[1]


def missing():
    """Names of the peers that are not installed."""
    programs = {"nchan": (NGINX, NCHAN), "Pushpin": ("/usr/bin/pushpin", "/usr/bin/condure", "/usr/bin/zurl")}
    return [name for name, files in programs.items() if not all(map(os.path.exists, files))]
